import json
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from cxr.contracts.files import folder_digest
from cxr.contracts.registration import Registration
from cxr.errors import ContractError
from cxr.steps.report import report
from support.pages import Page, external_addresses
from support.synthetic_run import FIGURES, SyntheticRun, folders_of, synthetic_run


@pytest.fixture(scope="module")
def run() -> SyntheticRun:
    return synthetic_run(23)


@pytest.fixture(scope="module")
def written(run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run.write(folder)
    return folder


@pytest.fixture(scope="module")
def out(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("out") / "report"
    write(written, target)
    return target


def write(run: Path, out: Path) -> None:
    folders = folders_of(run)
    report(
        studies=folders.studies,
        split=folders.split,
        search=folders.search,
        checkpoint=folders.checkpoint,
        evaluation=folders.evaluation,
        robustness=folders.robustness,
        explanation=folders.explanation,
        bundle=folders.bundle,
        registration=folders.registration,
        out=out,
    )


def test_it_writes_one_page_one_technical_report_figures_and_metrics(out: Path):
    assert {path.name for path in out.iterdir()} == {"report.html", "TECHNICAL_REPORT.md", "figures", "metrics"}
    html = (out / "report.html").read_text(encoding="utf-8")
    Page(html)
    assert external_addresses(html) == []


def test_figures_are_those_of_the_steps_and_the_training_curves(out: Path, written: Path):
    for place in FIGURES:
        assert (out / "figures" / Path(place).name).read_bytes() == (written / place).read_bytes()
    with Image.open(out / "figures" / "training.png") as training:
        assert training.width > 1000


def test_metrics_are_byte_for_byte_those_of_the_steps(out: Path, written: Path):
    for place in (
        "studies/ingest.json",
        "split/split.json",
        "search/search.json",
        "search/trials.csv",
        "checkpoint/history.json",
        "checkpoint/recipe.json",
        "evaluation/metrics.json",
        "evaluation/metrics.csv",
        "evaluation/calibration.json",
        "robustness/robustness.json",
        "explanation/localisation.json",
        "bundle/bundle.json",
        "bundle/reports/shortcuts.json",
        "bundle/reports/crossval.json",
        "registration/registration.json",
    ):
        assert (out / "metrics" / Path(place).name).read_bytes() == (written / place).read_bytes()


def test_nothing_of_single_films_is_copied(out: Path, run: SyntheticRun):
    patients = set(run.films["patient_id"])
    for path in (out / "metrics").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not any(patient in text for patient in patients), path
    html = (out / "report.html").read_text(encoding="utf-8")
    assert not any(patient in html for patient in patients)


def test_the_recipe_is_the_one_that_was_trained(written: Path, tmp_path: Path, run: SyntheticRun):
    copy = tmp_path / "run"
    run.write(copy)
    trained = msgspec.structs.replace(run.recipe, seed=4711)
    (copy / "checkpoint" / "recipe.json").write_bytes(msgspec.json.encode(trained))
    write(copy, tmp_path / "report")
    assert json.loads((tmp_path / "report" / "metrics" / "recipe.json").read_bytes())["seed"] == 4711


def test_the_same_run_gives_the_same_folder(out: Path, written: Path, tmp_path: Path):
    write(written, tmp_path / "again")
    assert folder_digest(tmp_path / "again") == folder_digest(out)


def test_a_failure_leaves_the_last_report_as_it_was(tmp_path: Path, run: SyntheticRun):
    run.write(tmp_path / "run")
    write(tmp_path / "run", tmp_path / "report")
    before = folder_digest(tmp_path / "report")
    path = tmp_path / "run" / "registration" / "registration.json"
    other = msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Registration), bundle="0" * 64)
    path.write_bytes(msgspec.json.encode(other))
    with pytest.raises(ContractError, match="must be of one run"):
        write(tmp_path / "run", tmp_path / "report")
    assert folder_digest(tmp_path / "report") == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "report"}
