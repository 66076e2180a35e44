import re
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest

from cxr.contracts.metrics import Estimate
from cxr.domain import Split
from cxr.reporting.caveats import data_caveats, training_caveats
from cxr.reporting.model_card import render_model_card
from support.audited import REASON
from support.pages import markdown_tables, plain
from support.synthetic_run import SyntheticRun
from support.withheld import LACKS


def with_unlabelled(films: pd.DataFrame) -> pd.DataFrame:
    """The films, and more that nobody labelled, as an index has them."""
    more = films.iloc[[*range(len(films)), *range(40)]].reset_index(drop=True)
    more.loc[more.index >= len(films), ["label", "split", "patient_id"]] = None
    return more


def render(run: SyntheticRun) -> str:
    return render_model_card(
        manifest=run.manifest,
        metrics=run.metrics,
        robustness=run.robustness,
        localisation=run.localisation,
        recipe=run.recipe,
        history=run.history,
        films=with_unlabelled(run.films),
        shortcuts=run.shortcuts,
        unseen=run.unseen,
    )


def trained_on(run: SyntheticRun, sources: tuple[str | None, ...]) -> SyntheticRun:
    """The run, its films of these sources in turn; None is of no known source."""
    named = tuple(source for source in sources if source)
    provenance = msgspec.structs.replace(run.manifest.provenance, training_sources=named)
    films = run.films.assign(source=[sources[row % len(sources)] for row in range(len(run.films))])
    return replace(run, films=films, manifest=msgspec.structs.replace(run.manifest, provenance=provenance))


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
        "Prediction sets",
        "Subgroups",
        "Sources never seen",
        "Shortcuts",
        "Robustness",
        "Localisation",
        "Limits",
        "Input",
        "Provenance",
        "Reporting checklists",
    ]


def test_the_limits_are_those_that_the_report_opens_with(card: str, run: SyntheticRun):
    told = plain(card[card.index("## Limits") :])
    for caveat in (*data_caveats(run.films, run.metrics.findings), *training_caveats(run.history, run.recipe)):
        assert plain(caveat.text) in told, caveat.title
    titles = [caveat.title for caveat in data_caveats(run.films, run.metrics.findings)]
    assert titles
    assert told.index("Shortcut risk") < told.index("Small subgroups")


def test_training_sources_are_counted(card: str, run: SyntheticRun):
    training = run.films[run.films["split"] == "train"]
    table = markdown_tables(card)["Training films by source"]
    rows = {row[0]: row[1:] for row in table.rows}
    for source, films in training.groupby("source"):
        assert rows[source][-2:] == [str(len(films)), str(films["group_id"].nunique())]
        assert rows[source][1] == str((films["label"] == "Pneumonia").sum())


def test_uncertainty_figures_are_those_of_the_evaluation(card: str, run: SyntheticRun):
    sets, selective = run.metrics.prediction_sets, run.metrics.selective
    tables = markdown_tables(card)
    shown = {row[0]: plain(row[2]) for row in tables["Prediction sets on the test films"].rows}
    assert shown["Tuberculosis covered"] == percent(sets.per_class["Tuberculosis"].coverage)
    assert shown["Sets of several findings"] == percent(sets.multiple)
    shown = {row[0]: plain(row[1]) for row in tables["Referral on the test films"].rows}
    assert shown["Wrong decisions among the films not referred"] == percent(selective.error)
    assert shown["Area under the risk-coverage curve"] == score(selective.aurc)
    gaps = tables["By how much a subgroup does worse than the other films"]
    assert [(row[0], row[1]) for row in gaps.rows] == [("Sex: F", "flag"), ("Sex: M", "within")]
    assert "Flagged: Sex: F." in card
    assert "1 subgroup cannot be judged" in card


def test_an_older_model_is_described_without_what_was_not_measured(run: SyntheticRun):
    calibration = msgspec.structs.replace(
        run.calibration, prediction_sets=None, refer_error=None, refer_error_bound=None
    )
    manifest = msgspec.structs.replace(run.manifest, calibration=calibration)
    metrics = msgspec.structs.replace(run.metrics, prediction_sets=None, selective=None, gaps=())
    card = render(replace(run, manifest=manifest, metrics=metrics))
    assert "has no limits for prediction sets" in card
    assert not [caption for caption in markdown_tables(card) if caption.startswith(("Prediction sets", "Referral"))]


@pytest.mark.parametrize(("caption", "items"), [("CLAIM, 2024 update", 44), ("STARD-AI", 48)])
def test_every_item_of_the_checklists_is_answered_or_left_to_the_site(card: str, caption: str, items: int):
    rows = markdown_tables(card)[caption].rows
    assert len({row[0] for row in rows}) == len(rows) == items
    assert all(row[2] for row in rows)
    ethics = {row[1]: row[2] for row in rows if row[1].startswith(("Ethics approval", "Sources of funding", "Funding"))}
    assert ethics
    assert set(ethics.values()) == {"Not answered by software: for the site to state"}


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


@pytest.mark.parametrize(
    ("sources", "origin", "told"),
    [
        ((None,), "378 training films from sources that are not named.", "**Sources unknown.** No film names"),
        (("nih",), "378 training films from 1 source: nih.", "**One source.**"),
        (
            ("nih", "phantom_a"),
            "378 training films from 2 sources: nih, phantom_a.",
            "**Phantoms among patients.** The films of phantom_a are drawn",
        ),
        (
            ("phantom_a", "phantom_b"),
            "378 training films from 2 sources: phantom_a, phantom_b.",
            "**Phantoms, not patients.** The films are drawn",
        ),
    ],
)
def test_the_card_tells_where_the_films_come_from(
    run: SyntheticRun, sources: tuple[str | None, ...], origin: str, told: str
):
    card = render(trained_on(run, sources)).replace("\\", "")
    assert origin in card
    titles = ("**Sources unknown.**", "**One source.**", "**Phantoms among patients.**", "**Phantoms, not patients.**")
    assert [title for title in titles if title in card] == [title for title in titles if told.startswith(title)]
    assert told in card


@pytest.mark.parametrize(
    ("sources", "told"), [(("nih",), True), ((None,), True), (("nih", "phantom_a"), False), (("phantom_a",), False)]
)
def test_phantoms_are_told_to_be_learnt_where_they_were(run: SyntheticRun, sources: tuple[str | None, ...], told: bool):
    sampling = msgspec.structs.replace(run.recipe.sampling, phantoms=1500)
    recipe = msgspec.structs.replace(run.recipe, sampling=sampling)
    words = "Beside them the network learnt 1,500 drawn films"
    assert (words in render(trained_on(replace(run, recipe=recipe), sources))) is told


def test_an_undefined_figure_says_why(run: SyntheticRun):
    undefined = Estimate(value=None, reason="no test film of Tuberculosis")
    metrics = msgspec.structs.replace(run.metrics, overall=run.metrics.overall | {"macro_auroc": undefined})
    card = render(replace(run, metrics=metrics))
    assert "| Macro AUROC | — <sup>a</sup> |" in card
    assert "<sup>a</sup> no test film of Tuberculosis" in card
    assert "None" not in card


def test_a_hostile_source_name_stays_text(run: SyntheticRun):
    assert r"\<img src=x\>\|\[a\](b)" in render(trained_on(run, ("<img src=x>|[a](b)",)))


def test_what_the_audit_found_is_in_the_card(card: str, run: SyntheticRun):
    section = card.split("## Shortcuts")[1].split("\n## ")[0]
    assert plain(REASON) in plain(section)
    captions = [table for table in ("Border only", "Redaction box", "Pull of the source") if table in section]
    assert len(captions) == 3
    assert "every source has as much of it" in section


def test_a_card_without_an_audit_says_so(run: SyntheticRun):
    section = render(replace(run, shortcuts=None)).split("## Shortcuts")[1].split("\n## ")[0]
    assert "were not audited" in section
    assert "|" not in section


def test_what_is_left_on_sources_never_seen_is_in_the_card(card: str, run: SyntheticRun):
    section = card.split("## Sources never seen")[1].split("\n## ")[0]
    unseen = run.unseen
    assert unseen is not None
    assert f"hold the finding of {100 * unseen.trust.prediction_sets.coverage.value:.1f}% there" in plain(section)
    for found in (*(source.macro_auroc for source in unseen.sources), unseen.worst_source_auroc):
        assert f"{found.value:.3f}" in section
    assert plain(LACKS) in plain(section)
    assert "No outside test of this very network" in card


def test_a_card_without_cross_validation_says_so(run: SyntheticRun):
    without = render(replace(run, unseen=None))
    section = without.split("## Sources never seen")[1].split("\n## ")[0]
    assert "was not measured" in section.replace("\n", " ")
    assert "|" not in section
    assert "**No outside test.**" in without


def test_phantoms_that_are_in_no_figure_are_not_said_to_be(run: SyntheticRun):
    films = run.films.assign(source=np.where(run.films["split"] == str(Split.TEST), "nih", "phantom_a"))
    card = render(replace(run, films=films))
    assert "**Phantoms" not in card
