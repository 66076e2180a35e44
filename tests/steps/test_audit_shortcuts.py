"""The audit catches a scanner tied to the finding, does not cry wolf without the tie, and measures what it says."""

import msgspec
import pandas as pd
import pytest

from cxr.contracts.files import read_json, write_json
from cxr.contracts.metrics import METRICS_FILE, MetricsReport
from cxr.contracts.recipe import (
    AuditRecipe,
    EvaluationRecipe,
    ModelRecipe,
    Preprocessing,
    Recipe,
    Schedule,
    SplitRecipe,
)
from cxr.contracts.shortcuts import SHORTCUTS_FILE, SHORTCUTS_TABLE, ShortcutReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.imaging.phantom import write_phantoms
from cxr.reporting.shortcut_tables import shortcut_tables, shortcut_words, shown_metrics
from cxr.steps.audit_shortcuts import PASTED, audit_shortcuts
from cxr.steps.evaluate import evaluate
from cxr.steps.ingest import ingest
from cxr.steps.split import split
from cxr.steps.train import train
from support.checkpoints import SMALL, write_random_checkpoint


@pytest.fixture(scope="module")
def run(noise_studies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    recipe = msgspec.structs.replace(SMALL, audit=AuditRecipe(least_patients=2, probe_films=40))
    write_random_checkpoint(folder / "checkpoint", recipe)
    steps = {"studies": noise_studies, "split": noise_studies, "checkpoint": folder / "checkpoint"}
    metrics = evaluate(**steps, out=folder / "evaluation")
    report = audit_shortcuts(**steps, evaluation=folder / "evaluation", out=folder / "audit")
    return folder, steps, metrics, report


def test_the_audit_is_of_the_evaluated_films(run):
    folder, _, metrics, report = run
    assert read_json(folder / "audit" / SHORTCUTS_FILE, ShortcutReport) == report
    assert (report.films, report.index, report.model) == (metrics.films, metrics.index, metrics.model)
    assert report.clean["macro_auroc"].value == pytest.approx(metrics.overall["macro_auroc"].value)
    assert [result.part for result in report.hidden] == ["lungs_hidden", "border_only", "lungs_only"]
    assert [(result.object, result.severity) for result in report.pasted] == list(PASTED)


def test_every_undefined_value_has_its_reason(run):
    folder, _, _, _ = run
    table = pd.read_csv(folder / "audit" / SHORTCUTS_TABLE)
    assert (table["value"].isna() == table["reason"].notna()).all()
    assert set(table["group"]) == {"clean", "source", "lungs_hidden", "border_only", "lungs_only", "source_probe",
                                   "pull", "pasted"}  # fmt: skip


def test_a_second_run_says_the_same(run, tmp_path):
    folder, steps, _, report = run
    again = audit_shortcuts(**steps, evaluation=folder / "evaluation", out=tmp_path / "audit")
    assert again == report


def test_without_an_evaluation_the_ranking_is_much_the_same(run, tmp_path):
    _, steps, _, report = run
    plain = audit_shortcuts(**steps, evaluation=None, out=tmp_path / "audit")
    assert plain.source_alone == report.source_alone
    for one, other in zip(plain.hidden, report.hidden, strict=True):
        assert one.pixels == other.pixels
        assert one.model["macro_auroc"].value == pytest.approx(other.model["macro_auroc"].value, abs=0.1)
    for finding, pull in plain.pull.items():
        assert pull.value == pytest.approx(report.pull[finding].value, abs=0.1)
    changes = [(one.change.value, other.change.value) for one, other in zip(plain.pasted, report.pasted, strict=True)]
    assert all(one != other for one, other in changes), "the probabilities are at another temperature"


def test_an_evaluation_of_another_checkpoint_is_refused(run, tmp_path):
    folder, steps, metrics, _ = run
    write_json(tmp_path / "evaluation" / METRICS_FILE, msgspec.structs.replace(metrics, model="0" * 64))
    with pytest.raises(ContractError, match=r"must be of checkpoint .* run `cxr evaluate` again"):
        audit_shortcuts(**steps, evaluation=tmp_path / "evaluation", out=tmp_path / "audit")
    assert not (tmp_path / "audit").exists()
    assert read_json(folder / "evaluation" / METRICS_FILE, MetricsReport) == metrics


def test_unlabelled_test_films_are_refused(run, tmp_path):
    _, steps, _, _ = run
    films = StudyIndex.read(steps["split"]).films
    films.loc[films["split"] == Split.TEST, "label"] = None
    StudyIndex(films).write(tmp_path / "split")
    with pytest.raises(ContractError, match="must have labels"):
        audit_shortcuts(**{**steps, "split": tmp_path / "split"}, evaluation=None, out=tmp_path / "audit")


def test_what_a_person_reads(run):
    _, _, _, report = run
    hidden, source, pasted = shortcut_tables(report)
    assert [row[0] for row in hidden.rows] == ["Whole film", "Lungs blacked out", "Border only", "Lungs only"]
    assert hidden.rows[1][1].value == report.hidden[0].model["macro_auroc"].value
    assert [row[0] for row in source.rows] == list(report.pull)
    assert [row[0] for row in pasted.rows] == ["Lead marker", "Collimation", "Redaction box"]
    failing = msgspec.structs.replace(report, state="fail", reasons=("one must be", "another must be"))
    assert shortcut_words(failing).endswith("one must be; another must be.")
    assert shown_metrics(failing)["verdict"] == "fail"
    assert all(value is not None for value in shown_metrics(report).values())


def phantom_report(folder, *, tie: float, seed: int = 1) -> ShortcutReport:
    """A small network trained on phantoms, audited."""
    recipe = Recipe(
        seed=seed,
        model=ModelRecipe(architecture="resnet18", weights="none", dropout=0.0),
        preprocessing=Preprocessing(size=64, stored_side=128),
        schedule=Schedule(epochs=10, patience=10, ema_decay=0.9),
        split=SplitRecipe(train=0.55, validation=0.1),
        evaluation=EvaluationRecipe(resamples=500),
    )
    write_phantoms(out=folder / "phantoms", films=600, seed=seed, side=128, scanner_tie=tie)
    ingest(data=str(folder / "phantoms"), out=folder / "studies", recipe=recipe)
    split(studies=folder / "studies", out=folder / "split", recipe=recipe)
    steps = {"studies": folder / "studies", "split": folder / "split"}
    train(**steps, recipe=recipe, out=folder / "checkpoint", scratch=folder / "scratch")
    return audit_shortcuts(**steps, checkpoint=folder / "checkpoint", evaluation=None, out=folder / "audit")


@pytest.mark.slow
def test_a_scanner_tied_to_the_finding_is_caught(tmp_path):
    report = phantom_report(tmp_path, tie=0.9)
    assert report.state == "fail"
    assert report.source_alone.low > 0.8
    border = next(result for result in report.hidden if result.part == "border_only")
    assert border.model["macro_auroc"].low > AuditRecipe().border_auroc
    assert border.pixels["macro_auroc"].low > AuditRecipe().pixel_auroc


@pytest.mark.slow
def test_scanners_at_random_raise_no_alarm(tmp_path):
    report = phantom_report(tmp_path, tie=0.0)
    assert report.state == "pass", report.reasons
    assert report.clean["macro_auroc"].low > 0.6, "it learned something that is not a shortcut"
