import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn import metrics as oracle

from cxr.evaluation.calibration import (
    LabelledLogits,
    brier,
    equal_mass_bins,
    expected_calibration_error,
    fit_shared_temperature,
    fit_temperature,
    log_loss,
    softmax,
)
from support.scored import draw_logits


def weights_for(n, rows=3, seed=0):
    return np.random.default_rng(seed).integers(0, 4, (rows, n)).astype(float)


def true_labels(probabilities, seed=0):
    """Labels that occur as often as the probabilities say."""
    rng = np.random.default_rng(seed)
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)


def test_softmax_is_torchs():
    logits = draw_logits(20)[0]
    expected = torch.softmax(torch.from_numpy(logits).double() / 1.7, dim=1).numpy()
    np.testing.assert_allclose(softmax(logits, temperature=1.7), expected)


@pytest.mark.parametrize("prior", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0])
def test_the_temperature_minimises_the_likelihood(prior, scale):
    logits, labels, _ = draw_logits(300, seed=3)
    scores = torch.from_numpy(logits * scale).double()
    unknown = prior / (300 + prior)
    targets = (1 - unknown) * torch.eye(3, dtype=torch.float64)[labels] + unknown / 3

    def loss(log_temperature):
        return float(torch.nn.functional.cross_entropy(scores / np.exp(log_temperature), targets))

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-7}).x)
    found = fit_temperature(logits * np.float32(scale), labels, prior_films=prior)
    assert found == pytest.approx(expected, rel=1e-4)


@given(seed=st.integers(0, 1000))
def test_a_film_of_weight_k_counts_as_k_films(seed):
    logits, labels, _ = draw_logits(40, seed=seed)
    times = weights_for(40, rows=1, seed=seed)[0].astype(int)
    repeated = fit_temperature(np.repeat(logits, times, axis=0), np.repeat(labels, times), prior_films=0)
    weighted = fit_temperature(logits, labels, weights=times * 40 / times.sum(), prior_films=0)
    assert weighted == pytest.approx(repeated, rel=1e-6)


def drawn(temperature, films, seed):
    """Films whose probabilities are right at a temperature."""
    logits = draw_logits(films, seed=seed)[0].astype(float)
    return LabelledLogits(logits * temperature, true_labels(softmax(logits), seed=seed))


def test_a_shared_temperature_lies_between_those_of_both_sides_by_their_share():
    known, unseen = drawn(0.7, 4000, 1), drawn(2.0, 400, 2)
    found = [fit_shared_temperature(known, unseen, unseen_share=share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == sorted(found)
    assert found[0] == fit_temperature(*known)
    assert found[4] == pytest.approx(fit_temperature(*unseen), rel=0.01)
    assert found[1] > found[0] * 1.05
    assert found[3] < found[4] * 0.95


def test_a_share_does_not_hang_on_how_many_films_a_side_has():
    known, unseen = drawn(0.7, 400, 1), drawn(2.0, 200, 2)
    often = LabelledLogits(np.repeat(unseen.logits, 9, axis=0), np.repeat(unseen.labels, 9))
    once, nine = (fit_shared_temperature(known, side, unseen_share=0.5) for side in (unseen, often))
    assert once == pytest.approx(nine, rel=0.01)


@pytest.mark.parametrize("unseen", [None, LabelledLogits(np.zeros((0, 3)), np.zeros(0, np.int64))])
def test_without_unseen_films_the_known_ones_alone_count(unseen):
    known = drawn(0.7, 400, 1)
    assert fit_shared_temperature(known, unseen, unseen_share=0.5) == fit_temperature(*known)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature):
    logits = draw_logits(20_000)[0].astype(float)
    labels = true_labels(softmax(logits))
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_films_without_an_error_still_give_a_sober_temperature():
    logits = 2 * np.eye(3)[np.arange(60) % 3]
    labels = np.arange(60) % 3
    sharpest = fit_temperature(logits, labels, prior_films=0)
    assert sharpest == pytest.approx(0.05)
    assert 0.97 < softmax(logits, temperature=fit_temperature(logits, labels)).max() < 0.999


def test_scores_worse_than_chance_reach_the_upper_bound():
    assert fit_temperature(-5 * np.eye(3)[np.arange(60) % 3], np.arange(60) % 3) == pytest.approx(20)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_proper_scores_agree_with_sklearn(n, seed):
    logits, labels, _ = draw_logits(n, seed=seed)
    probabilities, weights = softmax(logits), weights_for(n, seed=seed) + 1
    for number, row in enumerate(weights):
        np.testing.assert_allclose(
            log_loss(probabilities, labels, weights)[number],
            oracle.log_loss(labels, probabilities, sample_weight=row, labels=[0, 1, 2]),
        )
        np.testing.assert_allclose(
            brier(probabilities, labels, weights)[number],
            oracle.brier_score_loss(labels, probabilities, sample_weight=row, labels=[0, 1, 2], scale_by_half=False),
        )


@given(st.integers(1, 80), st.integers(0, 1000), st.sampled_from([None, 1]))
def test_calibration_error_agrees_with_a_loop_over_bins(n, seed, decimals):
    logits, labels, _ = draw_logits(n, seed=seed)
    probabilities = softmax(logits if decimals is None else logits.round(decimals))
    weights = weights_for(n, seed=seed) + 1
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = equal_mass_bins(confidence)
    for number, row in enumerate(weights):
        expected = 0.0
        for one in np.unique(bins):
            here = bins == one
            mean = np.average(confidence[here], weights=row[here]) - np.average(right[here], weights=row[here])
            expected += abs(mean) * row[here].sum() / row.sum()
        np.testing.assert_allclose(expected_calibration_error(probabilities, labels, weights)[number], expected)


def test_bins_of_equal_mass_hold_the_same_number_and_never_part_ties():
    confidence = np.random.default_rng(0).random(1500)
    assert np.bincount(equal_mass_bins(confidence)).tolist() == [100] * 15
    tied = np.repeat([0.5, 0.9], 40)
    assert len(set(zip(tied, equal_mass_bins(tied), strict=True))) == 2


def test_calibration_error_is_small_for_honest_and_large_for_boastful_probabilities():
    logits = draw_logits(20_000)[0]
    labels, one = true_labels(softmax(logits)), np.ones((1, 20_000))
    assert expected_calibration_error(softmax(logits), labels, one) < 0.015
    assert expected_calibration_error(softmax(logits, temperature=0.3), labels, one) > 0.1
