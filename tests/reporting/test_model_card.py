import re
from dataclasses import replace

import msgspec
import pytest

from cxr.contracts.metrics import Estimate
from cxr.reporting.model_card import render_model_card
from support.pages import markdown_tables, plain
from support.synthetic_run import SyntheticRun


def render(run: SyntheticRun) -> str:
    return render_model_card(
        manifest=run.manifest,
        metrics=run.metrics,
        robustness=run.robustness,
        localisation=run.localisation,
        recipe=run.recipe,
    )


def trained_on(run: SyntheticRun, sources: tuple[str, ...]) -> SyntheticRun:
    provenance = msgspec.structs.replace(run.manifest.provenance, training_sources=sources)
    return replace(run, manifest=msgspec.structs.replace(run.manifest, provenance=provenance))


@pytest.fixture(scope="module")
def card(run: SyntheticRun) -> str:
    return render(run)


def percent(estimate: Estimate) -> str:
    return f"{100 * (estimate.value or 0):.1f}% {100 * (estimate.low or 0):.1f}–{100 * (estimate.high or 0):.1f}"


def score(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} {estimate.low:.3f}–{estimate.high:.3f}"


def test_it_has_the_sections_of_a_model_card_in_order(card: str):
    assert re.findall(r"^## (.+)$", card, flags=re.MULTILINE) == [
        "Intended use",
        "Not intended",
        "Training data",
        "Performance",
        "Operating points",
        "When the model abstains",
        "Subgroups",
        "Robustness",
        "Localisation",
        "Limits",
        "Input",
        "Provenance",
    ]


def test_figures_are_those_of_the_reports(card: str, run: SyntheticRun):
    tables = markdown_tables(card)
    overall = {row[0]: plain(row[1]) for row in tables["All classes together"].rows}
    assert overall["Accuracy"] == percent(run.metrics.overall["accuracy"])
    assert overall["Macro AUROC"] == score(run.metrics.overall["macro_auroc"])
    classes = tables["Each finding against the rest"]
    for column, finding in enumerate(classes.columns[1:], start=1):
        shown = {row[0]: plain(row[column]) for row in classes.rows}
        assert shown["AUROC"] == score(run.metrics.per_class[finding]["auroc"])
        assert shown["Sensitivity at 70% specificity"] == percent(
            run.metrics.per_class[finding]["sensitivity_at_specificity_70"]
        )
    masked = tables["Activation against lesion masks"].rows[0]
    assert plain(masked[1]) == percent(run.localisation.pointing_game)


def test_operating_points_show_validation_beside_test(card: str, run: SyntheticRun):
    rows = {row[0]: row[1:] for row in markdown_tables(card)["Operating points"].rows}
    point = run.calibration.operating_points[3]
    shown = rows["Tuberculosis, sensitivity ≥ 90%"]
    measured = run.metrics.operating_points["Tuberculosis/sensitivity_at_least/0.9"]
    assert shown[0] == f"{point.threshold:.3f}"
    assert shown[1:3] == [f"{100 * point.validation_sensitivity:.1f}%", f"{100 * point.validation_specificity:.1f}%"]
    assert [plain(cell) for cell in shown[3:]] == [
        percent(measured[name]) for name in ("sensitivity", "specificity", "ppv", "npv")
    ]


def test_abstention_and_provenance_are_those_of_the_manifest(card: str, run: SyntheticRun):
    assert f"under {run.calibration.refer_below:.3f} is referred" in card
    assert f"farther than {run.manifest.out_of_distribution.limit:.3f}" in card
    shown = {row[0]: row[1] for row in markdown_tables(card)["Provenance"].rows}
    assert shown["Study index"] == run.manifest.provenance.index
    assert shown["Checkpoint"] == run.manifest.provenance.checkpoint
    assert shown["Seed"] == str(run.recipe.seed)


def test_it_does_not_depend_on_the_list_of_files(card: str, run: SyntheticRun):
    manifest = msgspec.structs.replace(run.manifest, files={"other": "f" * 64})
    assert render(replace(run, manifest=manifest)) == card


@pytest.mark.parametrize(("sources", "phantom"), [(("phantom_a", "phantom_b"), True), (("nih",), False)])
def test_phantoms_are_called_phantoms(run: SyntheticRun, sources: tuple[str, ...], phantom: bool):
    assert ("drawn phantoms" in render(trained_on(run, sources))) is phantom


def test_an_undefined_figure_says_why(run: SyntheticRun):
    undefined = Estimate(value=None, reason="no test film of Tuberculosis")
    metrics = msgspec.structs.replace(run.metrics, overall=run.metrics.overall | {"macro_auroc": undefined})
    card = render(replace(run, metrics=metrics))
    assert "| Macro AUROC | — <sup>a</sup> |" in card
    assert "<sup>a</sup> no test film of Tuberculosis" in card
    assert "None" not in card


def test_a_hostile_source_name_stays_text(run: SyntheticRun):
    assert r"\<img src=x\>\|\[a\](b)" in render(trained_on(run, ("<img src=x>|[a](b)",)))
