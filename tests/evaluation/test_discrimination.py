import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from cxr.evaluation.discrimination import (
    Ranking,
    auroc,
    average_precision,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)


@st.composite
def scored(draw, weightings=3):
    """Scores with ties, positives of both kinds, and whole weights that leave films of both kinds."""
    n = draw(st.integers(4, 40))
    scores = draw(st.lists(st.integers(0, draw(st.sampled_from([3, 10, 1000]))), min_size=n, max_size=n))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    positive[:2] = True, False
    weights = np.array(draw(st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=3)))
    weights[:, :2] += 1
    return np.array(scores) / 7, positive, weights.astype(float)


def each(metric, scores, positive, weights):
    return [metric(positive, scores, sample_weight=row) for row in weights]


@given(scored())
def test_auroc_agrees_with_sklearn(case):
    scores, positive, weights = case
    counts = Ranking.of(scores, positive).count(weights)
    np.testing.assert_allclose(auroc(counts), each(oracle.roc_auc_score, *case), rtol=1e-12, atol=1e-12)


@given(scored())
def test_average_precision_agrees_with_sklearn(case):
    scores, positive, weights = case
    counts = Ranking.of(scores, positive).count(weights)
    np.testing.assert_allclose(
        average_precision(counts), each(oracle.average_precision_score, *case), rtol=1e-12, atol=1e-12
    )


@given(scored(), st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0]))
def test_fixed_rates_agree_with_a_search_over_sklearns_curve(case, fixed):
    scores, positive, weights = case
    counts = Ranking.of(scores, positive).count(weights)
    sensitivities, specificities = [], []
    for row in weights:
        alarms, sensitivity, _ = oracle.roc_curve(positive, scores, sample_weight=row, drop_intermediate=False)
        sensitivities.append(max(s for s, a in zip(sensitivity, alarms, strict=True) if 1 - a >= fixed - 1e-9))
        specificities.append(max(1 - a for s, a in zip(sensitivity, alarms, strict=True) if s >= fixed - 1e-9))
    np.testing.assert_allclose(sensitivity_at_specificity(counts, fixed), sensitivities, atol=1e-12)
    np.testing.assert_allclose(specificity_at_sensitivity(counts, fixed), specificities, atol=1e-12)


@given(scored())
def test_the_curve_is_sklearns(case):
    scores, positive, _ = case
    expected = oracle.roc_curve(positive, scores, drop_intermediate=False)
    for found, wanted in zip(roc_curve(scores, positive), expected, strict=True):
        np.testing.assert_allclose(found, wanted)


@given(scored())
def test_auroc_depends_on_order_alone_and_turns_round_with_it(case):
    scores, positive, weights = case
    area = auroc(Ranking.of(scores, positive).count(weights))
    np.testing.assert_allclose(auroc(Ranking.of(np.exp(scores / 100), positive).count(weights)), area)
    np.testing.assert_allclose(auroc(Ranking.of(-scores, positive).count(weights)), 1 - area)
    np.testing.assert_allclose(auroc(Ranking.of(-scores, ~positive).count(weights)), area)


@given(scored())
def test_a_weight_of_two_is_the_film_twice(case):
    scores, positive, weights = case
    row = weights[0].astype(int)
    copies = Ranking.of(np.repeat(scores, row), np.repeat(positive, row)).count(np.ones((1, row.sum())))
    weighted = Ranking.of(scores, positive).count(weights[:1])
    for metric in (auroc, average_precision):
        np.testing.assert_allclose(metric(weighted), metric(copies))


@pytest.mark.parametrize("metric", [auroc, average_precision])
@pytest.mark.parametrize("kept", [True, False])
def test_one_kind_of_film_alone_is_undefined(metric, kept):
    scores, positive = np.array([0.1, 0.4, 0.4, 0.9]), np.array([True, False, True, False])
    weights = (positive == kept).astype(float)[None]
    assert np.isnan(metric(Ranking.of(scores, positive).count(weights))).all()
    assert np.isnan(sensitivity_at_specificity(Ranking.of(scores, positive).count(weights), 0.9)).all()
    assert np.isnan(specificity_at_sensitivity(Ranking.of(scores, positive).count(weights), 0.9)).all()


def test_a_curve_needs_both_kinds():
    with pytest.raises(ValueError, match="with and without"):
        roc_curve(np.array([0.1, 0.2]), np.array([True, True]))


def test_a_limit_met_but_for_rounding_is_met():
    # 3 of 30 false alarms are a specificity of 0.9 exactly, though (1 - 0.9) * 30 is less than 3
    scores = np.concatenate([np.full(3, 0.8), np.full(10, 0.7), np.full(27, 0.1)])
    positive = np.concatenate([np.zeros(3), np.ones(10), np.zeros(27)]).astype(bool)
    counts = Ranking.of(scores, positive).count(np.ones((1, 40)))
    assert sensitivity_at_specificity(counts, 0.9) == 1
    assert specificity_at_sensitivity(counts, 1.0) == 0.9
