from dataclasses import replace

import msgspec
import pytest

from cxr.contracts.registration import Registration, Verdict
from cxr.contracts.search_report import SearchReport
from cxr.reporting import narrative
from cxr.reporting.abstention import Abstention
from cxr.reporting.cohort import SourceGuess, guess_from_source
from support.synthetic_run import SyntheticRun


def registration(*, passed: bool, reasons: tuple[str, ...]) -> Registration:
    verdict = Verdict(passed=passed, reasons=reasons)
    return Registration(model="cxr", model_version="7", run_id="f00d", bundle="b" * 64, verdict=verdict)


def test_the_verdict_says_what_the_gate_says():
    passed = registration(passed=True, reasons=("every floor of the gate holds",))
    refused = registration(passed=False, reasons=("accuracy must be at least 0.750, is 0.700", "no champion"))
    assert narrative.verdict(passed) == "Gate passed: cxr version 7 may become champion."
    assert narrative.verdict(refused) == "Gate refused: cxr version 7 stays challenger."
    assert "refused: accuracy must be at least 0.750, is 0.700; no champion." in narrative.registration_summary(refused)


def test_the_search_is_told_trial_by_trial(run: SyntheticRun):
    words = narrative.search_summary(run.search)
    assert words.startswith("7 trials (5 complete, 1 pruned, 1 failed) of 7 planned, by Bayesian optimisation")
    assert "up to 3 epochs on 378 training films" in words


def test_no_search_is_said_in_words(run: SyntheticRun):
    none = SearchReport(
        algorithm="tpe", seed=1, planned=0, epochs=1, films=0, index="i", trials=(), best=None, importance=None
    )
    assert narrative.search_summary(none) == "No search was made: the recipe is as it was given."


@pytest.mark.parametrize(
    ("weights", "words"),
    [("imagenet", "ImageNet weights"), ("random", "random weights"), ("ab" * 32, "the weights abababababab")],
)
def test_training_names_where_it_started(run: SyntheticRun, weights: str, words: str):
    history = msgspec.structs.replace(run.history, initial_weights=weights)
    assert narrative.training_summary(history).startswith(f"8 epochs from {words} on cpu, 8.8 min in all, ")


def test_a_head_that_was_fitted_again_is_told_and_counts_as_training(run: SyntheticRun):
    history = msgspec.structs.replace(run.history, refit_seconds=600.0)
    words = narrative.training_summary(history)
    assert "18.8 min in all" in words
    assert words.endswith("is the one kept, its head fitted again to the training films as they are.")


def test_triage_holds_the_threshold_and_both_intervals(run: SyntheticRun):
    words = narrative.triage(run.metrics, run.calibration)
    point = next(p for p in run.calibration.operating_points if p.key == "Tuberculosis/sensitivity_at_least/0.9")
    assert f"At the threshold {point.threshold:.3f}, fitted on validation to reach 90% sensitivity" in words
    for name in ("sensitivity", "specificity"):
        estimate = run.metrics.operating_points[point.key][name]
        low, high = (100 * (end or 0) for end in (estimate.low, estimate.high))
        assert f"{name} of {100 * (estimate.value or 0):.1f}% (95% CI {low:.1f}–{high:.1f})" in words


def test_triage_without_a_threshold_says_so(run: SyntheticRun):
    none = msgspec.structs.replace(run.calibration, operating_points=())
    assert narrative.triage(run.metrics, none).endswith("No threshold was fitted for it.")


def test_abstention_counts_add_up():
    counted = Abstention(films=100, referred=8, decided_right=90, referred_right=5)
    assert narrative.abstention(counted, 0.55) == (
        "A film whose highest probability is under 0.550 is referred to a radiologist. That is 8 of 100 test films; "
        "of the 92 decided, 90 are right. Of those referred, 5 would have been right."
    )


def test_the_source_guess_is_shown_beside_its_baseline():
    guess = SourceGuess(films=200, right=150, most_frequent=80, named=True)
    assert "right for 75.0% of the 200 test films" in narrative.source_guess(guess)
    assert "right for 40.0%" in narrative.source_guess(guess)
    assert "cannot be measured" in narrative.source_guess(replace(guess, films=0))


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ((), "trained on 3,400 films from sources that are not named, evaluated"),
        (("nih",), "trained on 3,400 films from 1 source, evaluated"),
        (("nih", "phantom_a"), "trained on 3,400 films from 2 sources, evaluated"),
    ],
)
def test_the_summary_counts_the_sources_that_have_a_name(run: SyntheticRun, sources: tuple[str, ...], words: str):
    assert words in narrative.summary("densenet121", 3400, sources, run.metrics)


def test_no_guess_is_made_from_sources_that_no_film_names(run: SyntheticRun):
    words = narrative.source_guess(guess_from_source(run.films.assign(source=None)))
    assert words == "Whether the source gives the class away cannot be measured: no film names its source."


def test_the_split_is_told_with_its_caveats(run: SyntheticRun):
    words = narrative.split_summary(run.split)
    assert words.startswith("460 films in 460 patient groups (the largest of 1 film) were divided by group")
    assert words.endswith("nih and open_covid may share patients whom no identifier shows.")
