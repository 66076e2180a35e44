import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.calibration import LabelledLogits
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import fit_calibration, fit_operating_points, measure_operating_points
from support.scored import FINDINGS, draw_films, draw_logits

RECIPE = EvaluationRecipe()

cases = st.builds(
    draw_films,
    st.integers(12, 80),
    quality=st.sampled_from([0.0, 1.0, 3.0, 20.0]),
    seed=st.integers(0, 10_000),
    decimals=st.sampled_from([None, 0, 1]),
)


def rates(films, finding, threshold):
    number = FINDINGS.index(finding)
    called, present = films.probabilities[:, number] >= threshold, films.labels == number
    return called[present].mean(), (~called[~present]).mean()


def all_rates(films, finding):
    scores = np.unique(films.probabilities[:, FINDINGS.index(finding)])
    return [rates(films, finding, threshold) for threshold in (*scores, 2.0)]


@given(cases)
def test_every_point_is_the_best_that_its_rule_allows(films):
    for point in fit_operating_points(films, RECIPE):
        reached = rates(films, point.finding, point.threshold)
        assert reached == pytest.approx((point.validation_sensitivity, point.validation_specificity))
        others = all_rates(films, point.finding)
        if point.name == "youden":
            assert sum(reached) == pytest.approx(max(map(sum, others)))
        elif point.name == "sensitivity_at_least":
            assert reached[0] >= point.target
            assert reached[1] == pytest.approx(max(b for a, b in others if a >= point.target))
        else:
            assert reached[1] >= point.target
            assert reached[0] == pytest.approx(max(a for a, b in others if b >= point.target))


@given(cases)
def test_rounding_moves_no_film_across_a_threshold(films):
    for point in fit_operating_points(films, RECIPE):
        scores = films.probabilities[:, FINDINGS.index(point.finding)]
        gaps = np.diff(np.unique(scores))
        assume(gaps.min() > 1e-9)
        nearest = np.abs(scores - point.threshold).min()
        assert nearest >= min([*gaps, scores.min(), 1 - scores.max()]) / 2 * (1 - 1e-6)


def test_targets_come_from_the_recipe_and_each_point_occurs_once():
    recipe = EvaluationRecipe(triage_sensitivity=0.8, triage_specificity=0.95)
    points = fit_operating_points(draw_films(100), recipe)
    assert [point.key for point in points if point.finding == "Tuberculosis"] == [
        "Tuberculosis/youden",
        "Tuberculosis/sensitivity_at_least/0.8",
        "Tuberculosis/specificity_at_least/0.95",
    ]


def test_a_finding_absent_from_validation_gets_no_point(caplog):
    points = fit_operating_points(draw_films(60, findings=2), RECIPE)
    assert {point.finding for point in points} == {"Normal", "Pneumonia"}
    assert "Tuberculosis" in caplog.text


def test_the_calibration_belongs_to_the_tempered_probabilities():
    logits, labels, groups = draw_logits(400, quality=3)
    cold = fit_calibration(logits * np.float32(5), labels, groups, findings=FINDINGS, recipe=RECIPE)
    warm = fit_calibration(logits, labels, groups, findings=FINDINGS, recipe=RECIPE)
    assert cold.temperature == pytest.approx(5 * warm.temperature, rel=1e-3)
    assert cold.refer_below == pytest.approx(warm.refer_below, abs=1e-3)
    assert cold.refer_error_bound == pytest.approx(warm.refer_error_bound, abs=1e-3)
    for finding in FINDINGS:
        one, other = (found.prediction_sets.least_probability[finding] for found in (cold, warm))
        assert one == pytest.approx(other, abs=1e-3)
    for one, other in zip(cold.operating_points, warm.operating_points, strict=True):
        assert one.threshold == pytest.approx(other.threshold, abs=1e-3)
    assert cold.validation_films == 400


def test_unseen_films_move_the_temperature_and_all_that_follows_it():
    logits, labels, groups = draw_logits(400, quality=3)
    unseen = LabelledLogits(*draw_logits(100, quality=0.5, seed=1)[:2])
    plain, shared = (
        fit_calibration(
            logits, labels, groups, findings=FINDINGS, recipe=EvaluationRecipe(unseen_share=share), unseen=unseen
        )
        for share in (0.0, 0.5)
    )
    assert (plain.unseen_films, shared.unseen_films) == (0, 100)
    assert plain == fit_calibration(logits, labels, groups, findings=FINDINGS, recipe=RECIPE)
    assert shared.temperature > 1.1 * plain.temperature
    for finding in FINDINGS:
        one, other = (found.prediction_sets.least_probability[finding] for found in (shared, plain))
        assert one < other
    pairs = zip(shared.operating_points, plain.operating_points, strict=True)
    sure = [(one.threshold, other.threshold) for one, other in pairs if other.threshold > 0.6]
    assert sure
    assert all(one < other for one, other in sure)


def test_points_are_measured_as_a_count_by_hand_says():
    films = draw_films(150, seed=4)
    points = fit_operating_points(draw_films(150, seed=5), RECIPE)
    weights = np.random.default_rng(0).integers(0, 3, (4, 150)).astype(float)
    measured = measure_operating_points(films, points, weights)
    for point in points:
        number = FINDINGS.index(point.finding)
        for row, weight in enumerate(weights.astype(int)):
            called = np.repeat(films.probabilities[:, number] >= point.threshold, weight)
            present = np.repeat(films.labels == number, weight)
            assert measured[point.key, "sensitivity"][row] == pytest.approx(called[present].mean())
            assert measured[point.key, "specificity"][row] == pytest.approx((~called[~present]).mean())
            assert measured[point.key, "ppv"][row] == pytest.approx(present[called].mean())
            assert measured[point.key, "npv"][row] == pytest.approx((~present[~called]).mean())


def test_scored_films_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="leave unlabelled films out"):
        ScoredFilms(np.array([-1]), np.ones((1, 3)) / 3, np.array([0]), FINDINGS)
    with pytest.raises(ValueError, match="must have n"):
        ScoredFilms(np.array([0, 1]), np.ones((1, 3)) / 3, np.array([0]), FINDINGS)
