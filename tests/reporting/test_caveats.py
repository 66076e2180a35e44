import msgspec
import pandas as pd
import pytest

from cxr.contracts.checkpoint import History
from cxr.contracts.metrics import Calibration, Estimate, LocalisationReport, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Recipe
from cxr.reporting.caveats import (
    Caveat,
    calibration_caveats,
    data_caveats,
    localisation_caveats,
    metric_caveats,
    robustness_caveats,
    size_caveats,
    training_caveats,
)

FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")


def titled(caveats: object) -> dict[str, Caveat]:
    return {caveat.title: caveat for caveat in caveats}  # type: ignore[attr-defined]


def even_films() -> pd.DataFrame:
    """Every class in every source, view, sex, age group and part."""
    rows = [
        {
            "label": finding,
            "source": source,
            "view": view,
            "sex": sex,
            "age_group": age,
            "split": split,
            "patient_id": "p",
            "group_id": "p",
        }
        for finding in FINDINGS
        for source in ("a", "b")
        for view in ("PA", "AP")
        for sex in ("F", "M")
        for age in ("adult", "paediatric")
        for split in ("train", "validation", "test")
    ]
    return pd.DataFrame(rows)


def test_a_balanced_data_set_has_no_caveat():
    assert not titled(data_caveats(even_films(), FINDINGS))


def test_a_source_with_one_class_is_named_as_a_shortcut(films: pd.DataFrame):
    caveat = titled(data_caveats(films, FINDINGS))["Shortcut risk: the source gives the class away"]
    assert caveat.serious
    assert "belarus" in caveat.text
    assert "guangzhou" not in caveat.text


def test_a_source_that_predicts_the_class_is_a_shortcut_even_with_all_classes_in_it():
    tied = even_films()
    more = pd.concat(
        [tied[(tied["source"] == s) & (tied["label"] == f)] for s, f in (("a", "Pneumonia"), ("b", "Tuberculosis"))] * 9
    )
    assert "Shortcut risk: the source gives the class away" in titled(
        data_caveats(pd.concat([tied, more], ignore_index=True), FINDINGS)
    )


def test_combinations_missing_from_training_are_listed(films: pd.DataFrame):
    caveat = titled(data_caveats(films, FINDINGS))["Combinations never seen in training"]
    assert "Tuberculosis with age group paediatric" in caveat.text
    assert "adult" not in caveat.text


def test_an_attribute_that_is_unknown_is_not_taken_for_absent(films: pd.DataFrame):
    tuberculous = films["label"] == "Tuberculosis"
    caveats = titled(data_caveats(films.assign(age_group=films["age_group"].mask(tuberculous)), FINDINGS))
    trained = int((tuberculous & (films["split"] == "train")).sum())
    words = f"Tuberculosis with age group adult (unknown of {trained:,} films)"
    assert words in caveats["Combinations that may never have been seen in training"].text
    assert "Combinations never seen in training" not in caveats


def test_unknown_attributes_and_patients_are_listed():
    films = even_films()
    films.loc[films.index % 2 == 0, ["sex", "patient_id"]] = None
    caveats = titled(data_caveats(films, FINDINGS))
    assert "sex (50% of films)" in caveats["Unknown attributes"].text
    assert "50% of films name no patient" in caveats["Unknown patients"].text


def test_films_of_one_source_say_nothing_of_another():
    films = even_films()
    caveats = titled(data_caveats(films[films["source"] == "a"], FINDINGS))
    assert "One source" in caveats
    assert "Sources unknown" not in caveats


def test_films_of_unknown_sources_are_not_taken_for_those_of_one():
    caveats = titled(data_caveats(even_films().assign(source=None), FINDINGS))
    assert caveats["Sources unknown"].serious
    assert "leave-one-source-out" in caveats["Sources unknown"].text
    assert "One source" not in caveats


@pytest.mark.parametrize("source", [None, "a"])
def test_where_some_films_name_their_source_it_is_neither_one_nor_unknown(source: str | None):
    films = even_films()
    films["source"] = films["source"].where(films["source"] == "b", source)
    assert {"One source", "Sources unknown"}.isdisjoint(titled(data_caveats(films, FINDINGS)))


def test_without_a_labelled_film_nothing_is_said_of_sources():
    films = even_films().assign(source=None, label=None)
    assert {"One source", "Sources unknown"}.isdisjoint(titled(data_caveats(films, FINDINGS)))


def test_a_subgroup_that_is_surely_worse_is_named_and_others_are_not(metrics: MetricsReport):
    text = titled(metric_caveats(metrics))["Subgroups that do worse"].text
    assert "sex F" in text
    overall = metrics.overall["macro_auroc"].value
    fine = [
        g
        for g in metrics.subgroups
        if all((e.high or 1) >= (metrics.overall[n].value or 0) for n, e in g.metrics.items())
    ]
    assert overall is not None
    assert all(f"{group.attribute} {group.value} " not in text for group in fine)


def test_small_subgroups_and_undefined_figures_are_named(metrics: MetricsReport):
    caveats = titled(metric_caveats(metrics))
    assert "source belarus (7)" in caveats["Small subgroups"].text
    assert "only one class among these films" in caveats["Undefined figures"].text


def test_few_patients_are_a_caveat_of_their_own(metrics: MetricsReport):
    assert "Few patients" not in titled(metric_caveats(metrics))
    assert "Few patients" in titled(metric_caveats(msgspec.structs.replace(metrics, patients=40)))


def test_the_worst_corruption_is_the_one_with_the_largest_drop(robustness: RobustnessReport):
    worst = max(robustness.results, key=lambda result: result.accuracy_drop.value or 0)
    text = titled(robustness_caveats(robustness))["Worst corruption"].text
    assert f"{worst.corruption.replace('_', ' ').capitalize()} at severity {worst.severity}" in text


def test_small_drops_are_no_caveat(robustness: RobustnessReport):
    mild = tuple(msgspec.structs.replace(r, accuracy_drop=Estimate(value=0.01)) for r in robustness.results)
    assert not titled(robustness_caveats(msgspec.structs.replace(robustness, results=mild)))


def test_localisation_is_judged_against_a_blind_guess(localisation: LocalisationReport):
    assert not titled(localisation_caveats(localisation))
    blind = msgspec.structs.replace(localisation, pointing_game=Estimate(value=0.1, low=0.02, high=0.2))
    assert "Weak localisation" in titled(localisation_caveats(blind))
    one_patient = msgspec.structs.replace(localisation, pointing_game=Estimate(value=0.1))
    assert "Weak localisation" in titled(localisation_caveats(one_patient))
    without = msgspec.structs.replace(localisation, masked_films=0)
    assert "Localisation not measured" in titled(localisation_caveats(without))


def test_training_that_ended_at_its_best_epoch_may_be_too_short(history: History, recipe: Recipe):
    assert not titled(training_caveats(history, recipe))
    short = msgspec.structs.replace(history, stopped="schedule", best_epoch=8, initial_weights="random")
    assert set(titled(training_caveats(short, recipe))) == {"Trained from random weights", "Still improving"}


@pytest.mark.parametrize(("bound", "warned"), [(0.049, False), (0.0712, True), (None, False)])
def test_a_referral_limit_that_validation_could_not_back_is_a_limit(
    calibration: Calibration, bound: float | None, warned: bool
):
    changed = msgspec.structs.replace(calibration, refer_error=0.05, refer_error_bound=bound)
    found = list(calibration_caveats(changed))
    assert [caveat.title for caveat in found] == ["Referral may not be enough"] * warned
    assert not warned or "at most 7.1%" in found[0].text


def test_a_temperature_made_for_other_hospitals_too_is_told(calibration: Calibration):
    changed = msgspec.structs.replace(calibration, refer_error_bound=None, unseen_films=1234)
    (found,) = calibration_caveats(changed)
    assert found.title == "Probabilities are made for other hospitals too"
    assert "1,234 validation films" in found.text


@pytest.mark.parametrize(
    ("short", "stored_side", "frame", "warned"),
    [
        (223, 256, 0, True),
        (224, 256, 0, False),
        (128, 128, 0, False),
        (127, 128, 0, True),
        (160, 256, 160, False),
        (159, 256, 160, True),
    ],
)
def test_films_that_the_service_would_refuse_as_too_small_are_a_limit(
    recipe: Recipe, short: int, stored_side: int, frame: int, warned: bool
):
    chosen = msgspec.structs.replace(recipe.preprocessing, size=224, stored_side=stored_side)
    framed = msgspec.structs.replace(recipe.model, lung_frame=frame)
    films = pd.DataFrame({"width": [300, 500], "height": [short, 400]})
    found = list(size_caveats(films, msgspec.structs.replace(recipe, preprocessing=chosen, model=framed)))
    assert [caveat.serious for caveat in found] == [True] * warned
    assert not warned or "1 of 2 films" in found[0].text
