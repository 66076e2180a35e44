import json

import pytest
import yaml
from click.testing import CliRunner

from cxr.cli import main
from cxr.contracts.resolve import resolve_recipe


@pytest.fixture
def cxr(tmp_path, monkeypatch):
    """Run a command in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["--quiet", *map(str, words)], catch_exceptions=False)


def test_recipe_prints_yaml_that_is_the_recipe(cxr):
    printed = cxr("recipe", "--recipe", "demo", "--set", "loss.gamma=1.5")
    assert printed.exit_code == 0
    assert yaml.safe_load(printed.output)["loss"]["gamma"] == 1.5
    assert resolve_recipe(printed.output) == resolve_recipe("demo", ["loss.gamma=1.5"])


def test_a_recipe_can_be_kept_as_a_run_keeps_it(cxr, tmp_path):
    assert not cxr("recipe", "--recipe", "demo", "--set", "seed=7", "--out", "run/recipe.json").output
    assert resolve_recipe(str(tmp_path / "run" / "recipe.json")) == resolve_recipe("demo", ["seed=7"])


def test_a_misspelt_field_ends_in_one_line_with_the_nearest_name(cxr):
    failed = cxr("recipe", "--set", "loss.gama=1.5")
    assert failed.exit_code == 1
    (line,) = failed.stderr.strip().splitlines()
    assert "loss.gamma" in line


@pytest.mark.parametrize(
    "command",
    [
        "split",
        "tune",
        "train",
        "evaluate",
        "robustness",
        "explain",
        "fit-drift",
        "fit-gate",
        "package",
        "register",
        "report",
    ],
)
def test_a_step_without_a_run_ends_in_one_line_that_says_what_is_missing(cxr, command):
    failed = cxr(command)
    assert failed.exit_code == 1
    (line,) = failed.stderr.strip().splitlines()
    assert "must exist" in line or "must be" in line


def test_the_recipe_that_is_trained_is_the_one_that_the_runs_own_search_found(cxr, tmp_path):
    failed = cxr("train", "--run", tmp_path / "mine")
    assert str(tmp_path / "mine" / "search" / "recipe.json") in failed.stderr


def test_bundle_and_data_go_together(cxr):
    failed = cxr("evaluate", "--bundle", "b")
    assert failed.exit_code == 2
    assert "go together" in failed.stderr


def test_ingest_split_and_train_write_into_the_run(cxr, tmp_path):
    tiny = ["--set", "preprocessing.size=32", "--set", "model.architecture=resnet18", "--set", "model.weights=none"]
    assert cxr("ingest", "phantom:60?side=96", "--out", "run/studies").exit_code == 0
    assert cxr("split", "--run", "run").exit_code == 0
    trained = cxr("train", "--run", "run", "--recipe", "demo", *tiny, "--set", "schedule.epochs=1", "--device", "cpu")
    assert trained.exit_code == 0
    assert json.loads(trained.stdout)["best_epoch"] == 1
    assert (tmp_path / "run/checkpoint/weights.safetensors").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("ingest", "site", "--out", "site"),
        ("ingest", "phantom:3", "--out", "site"),
        ("split", "--studies", "site", "--out", "site"),
        ("evaluate", "--bundle", "b", "--data", "site/index.csv", "--out", "site"),
        ("report", "--run", "site", "--out", "site"),
        ("ingest", "phantom:3", "--out", "."),
        ("ingest", "studies/new"),
        ("ingest", "phantom:3", "--out", "site/index.csv"),
    ],
)
def test_a_folder_with_somebodys_files_is_never_replaced(cxr, tmp_path, command):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.csv").write_text("path,label\na.png,Normal\n")
    (tmp_path / "site" / "page.html").touch()
    (tmp_path / "site" / "TECHNICAL_REPORT.md").symlink_to("page.html")
    (tmp_path / "studies" / "new").mkdir(parents=True)
    (tmp_path / "studies" / "ingest.json").touch()
    failed = cxr(*command)
    assert failed.exit_code == 1
    assert "name another" in failed.stderr
    assert (tmp_path / "studies" / "new").is_dir()
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [
        "TECHNICAL_REPORT.md",
        "index.csv",
        "page.html",
    ]


def test_what_a_step_wrote_is_replaced_when_it_runs_again(cxr, tmp_path):
    (tmp_path / "studies").mkdir()
    for films in (20, 30):
        assert cxr("ingest", f"phantom:{films}?side=96", "--set", "preprocessing.size=32").exit_code == 0
        assert json.loads((tmp_path / "studies" / "ingest.json").read_text())["read"] == films


def test_ingest_lists_what_it_refused(cxr, tmp_path):
    (tmp_path / "films" / "Normal").mkdir(parents=True)
    (tmp_path / "films" / "Normal" / "page.png").write_text("<html>")
    refused = cxr("ingest", "films", "--out", "studies")
    assert "not_an_image" in refused.stderr


def test_predict_needs_a_bundle(cxr):
    failed = cxr("predict", "--bundle", "nowhere", "film.png")
    assert failed.exit_code == 1
    assert "must be a bundle" in failed.stderr


def test_help_names_every_step(cxr):
    text = cxr("--help").output
    for command in (
        "ingest",
        "split",
        "tune",
        "train",
        "evaluate",
        "robustness",
        "explain",
        "fit-drift",
        "fit-gate",
        "package",
    ):
        assert command in text
