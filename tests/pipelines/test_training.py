"""The training pipeline as a user runs it: the folder of a run, what is said, and running again."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from cxr.adapters.registry import CHAMPION, Registry
from cxr.contracts.files import read_json
from cxr.contracts.metrics import MetricsReport
from cxr.contracts.registration import Registration
from cxr.contracts.run_folders import MARKS
from pipelines.flow import Outputs

ROOT = Path(__file__).parents[2]
RECIPE = """
model: {architecture: resnet18, weights: none, output_stride: 32}
preprocessing: {size: 64, stored_side: 128}
schedule: {epochs: 2, batch_size: 32}
search: {trials: 2, epochs: 1, films: 60}
evaluation: {resamples: 200, severities: [1, 3]}
"""


def pipeline(*arguments: str, run: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", "run", "--recipe", RECIPE, "--run-dir", str(run), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["training", "retraining"])
def test_a_failed_step_has_the_last_word(tmp_path: Path, name: str) -> None:
    done = pipeline("--pipeline", name, "--data", str(tmp_path / "absent"), run=tmp_path / "runs" / "a")
    assert done.returncode == 1
    assert done.stdout == ""
    *_, log, last = done.stderr.splitlines()
    assert re.fullmatch(r"Error: data must be .*absent.*", last)
    assert log == f"the full log is {tmp_path / 'runs' / 'a' / 'pipeline.log'}"
    assert "Traceback" not in done.stderr
    assert "Traceback" in (tmp_path / "runs" / "a" / "pipeline.log").read_text()
    assert not (tmp_path / "runs" / "last").exists()


def test_a_recipe_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = pipeline("--data", "phantom:9", "--set", "loss.gama=1", run=tmp_path / "runs" / "a")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "did you mean loss.gamma?" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_somebodys_films_becomes_no_run(tmp_path: Path) -> None:
    film = tmp_path / "site" / "studies" / "film.png"
    film.parent.mkdir(parents=True)
    film.touch()
    done = pipeline("--data", "phantom:9", run=tmp_path / "site")
    assert done.returncode == 1
    assert "must be a new or empty folder" in done.stderr
    assert film.exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_ends_with_a_report_and_a_registered_model_and_may_be_repeated(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = pipeline("--data", "phantom:90", run=runs / "a")
    assert first.returncode == 0, first.stderr
    run = runs / "last"
    assert run.resolve() == runs / "a"
    for name in (*Outputs._fields, "promotion", "figures", "metrics"):
        assert any((run / name).iterdir()), name
    assert {name for name, mark in MARKS.items() if (run / name / mark).is_file()} == {*Outputs._fields, "promotion"}
    for name in ("report.html", "TECHNICAL_REPORT.md", "recipe.json"):
        assert (run / name).stat().st_size
    assert json.loads((run / "recipe.json").read_text())["search"]["trials"] == 2

    metrics = read_json(run / "evaluation" / "metrics.json", MetricsReport)
    assert f"macro AUROC   {metrics.overall['macro_auroc'].value:.3f}" in first.stdout
    assert "cxr version 1, alias challenger" in first.stdout
    assert f"cxr predict --bundle {runs / 'a' / 'bundle'}" in first.stdout
    assert f"make serve ARGS='--bundle {runs / 'a' / 'bundle'}'" in first.stdout
    registration = read_json(run / "registration" / "registration.json", Registration)

    second = pipeline("--data", "phantom:90", run=runs / "b")
    assert second.returncode == 0, second.stderr
    executed = {line.split()[0] for line in second.stderr.splitlines() if line.endswith(" s")}
    assert executed == {"register", "promote", "report"}
    assert read_json(runs / "b" / "registration" / "registration.json", Registration) == registration

    uri = f"sqlite:///{runs / 'mlflow.db'}"
    champion = Registry(uri).alias("cxr", CHAMPION)
    assert (champion is not None) == registration.verdict.passed
    client = MlflowClient(uri)
    (version,) = client.search_model_versions("name = 'cxr'")
    assert version.tags["cxr.bundle"] == registration.bundle
    trials = client.search_runs([client.get_experiment_by_name("cxr").experiment_id], "tags.mlflow.parentRunId != ''")
    assert len(trials) == 2
