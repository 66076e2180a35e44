"""Which recipe and which bundle the targets of the Makefile take."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def planned(*words):
    """The commands that a target would run, whatever the make that runs these tests was given."""
    ours = {"PROFILE", "DATA", "RUN", "ARGS", "MAKEFLAGS", "MAKEOVERRIDES"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = ["make", "--no-print-directory", "--dry-run", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        ((), "demo"),
        (("DATA=phantom:90",), "demo"),
        (("DATA=/films",), "cpu"),
        (("DATA=s3://films/current",), "cpu"),
        (("DATA=/films", "PROFILE=default"), "default"),
        (("PROFILE=cpu",), "cpu"),
    ],
)
def test_phantoms_are_for_a_demonstration_and_films_are_not(words, recipe):
    assert f'--recipe "{recipe}"' in planned("run", *words)
    assert f'--recipe "{recipe}"' in planned("data", *words)


def test_a_search_is_of_the_recipe_that_the_films_were_prepared_for(tmp_path):
    assert '--recipe "demo"' in planned("train-tune", f"RUN={tmp_path}")
    (tmp_path / "recipe.json").touch()
    assert f'tune --run {tmp_path} --recipe "{tmp_path}/recipe.json"' in planned("train-tune", f"RUN={tmp_path}")
    assert '--recipe "cpu"' in planned("train-tune", f"RUN={tmp_path}", "PROFILE=cpu")
    assert f"--out {tmp_path}/recipe.json" in planned("data", f"RUN={tmp_path}")


def test_nothing_is_trained_where_a_bundle_is_named(tmp_path):
    assert "pipelines run" in planned("serve", f"RUN={tmp_path}")
    assert "pipelines run" not in planned("serve", f"RUN={tmp_path}", "ARGS=--bundle b")
