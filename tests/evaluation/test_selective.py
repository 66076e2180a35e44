import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.evaluation.counting import upper_share
from cxr.evaluation.curves import risk_coverage_band
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.selective import aurc, fit_referral, measure_selective, risk_coverage
from support.scored import FINDINGS, draw_films

cases = st.builds(
    draw_films,
    st.integers(12, 80),
    quality=st.sampled_from([0.0, 1.0, 3.0, 20.0]),
    seed=st.integers(0, 10_000),
    decimals=st.sampled_from([None, 0, 1]),
)


def bound_above(films, limit, confidence):
    decided = films.probabilities.max(axis=1) >= limit
    error = (films.decisions != films.labels)[decided].mean()
    patients = films.patients_of(decided)
    return upper_share(hits=error * patients, trials=patients, confidence=confidence)


@given(cases, st.sampled_from([0.05, 0.2, 0.5]), st.sampled_from([0.5, 0.9]))
def test_every_limit_as_strict_as_the_one_chosen_is_sure_enough(films, error, confidence):
    limit, bound = fit_referral(films, error=error, confidence=confidence)
    sureness = films.probabilities.max(axis=1)
    allowed = [level for level in np.unique(sureness) if (sureness >= level).mean() >= 0.5]
    bounds = {level: bound_above(films, level, confidence) for level in allowed}
    assert bound == pytest.approx(bound_above(films, limit, confidence))
    assert (sureness >= limit).mean() >= 0.5
    strictest = max(allowed)
    if bounds[strictest] <= error:
        assert all(bounds[level] <= error for level in allowed if level >= limit)
        below = [level for level in allowed if level < limit]
        assert not below or bounds[max(below)] > error
    else:
        assert bound == pytest.approx(min(bounds.values()))


def test_nothing_is_referred_where_nothing_is_wrong_and_there_are_patients_enough():
    assert fit_referral(draw_films(200, quality=40), error=0.05, confidence=0.9)[0] == 0


def test_a_limit_between_neighbouring_numbers_parts_them():
    surer = np.nextafter(0.8, 1)
    assert (surer + 0.8) / 2 == 0.8
    sureness = np.repeat([surer, 0.8], 20)
    rest = (1 - sureness) / 2
    labels = np.repeat([0, 1], 20)
    films = ScoredFilms(labels, np.stack([sureness, rest, rest], axis=1), np.arange(40), FINDINGS)
    limit, bound = fit_referral(films, error=0.05, confidence=0.5)
    assert (sureness >= limit).tolist() == [True] * 20 + [False] * 20
    assert bound == pytest.approx(bound_above(films, limit, 0.5))


def test_more_confidence_refers_no_fewer_films():
    films = draw_films(600, quality=2.5, seed=3)
    limits = [fit_referral(films, error=0.1, confidence=confidence)[0] for confidence in (0.5, 0.8, 0.9, 0.99)]
    assert limits == sorted(limits)
    assert limits[-1] > limits[0]


def test_on_other_patients_the_error_is_rarely_more_than_was_to_be_tolerated():
    """The share of draws is that of the confidence; the lowest limit that looks good fails in about half of them."""
    over = []
    for draw in range(40):
        films = draw_films(1600, quality=2.6, seed=draw)
        first = films.patients < films.patients.max() // 2
        limit, bound = fit_referral(films.take(first), error=0.1, confidence=0.9)
        assert bound <= 0.1
        others = films.take(~first)
        decided = others.probabilities.max(axis=1) >= limit
        over.append((others.decisions != others.labels)[decided].mean() > 0.1)
    assert np.mean(over) <= 0.25  # 10% against the truth, and the other half has a spread of its own


@given(cases)
def test_coverage_grows_to_one_and_risk_ends_at_the_error_of_all(films):
    weights = np.random.default_rng(0).integers(0, 3, (4, len(films))).astype(float)
    weights[:, 0] = 1
    decided, risk = risk_coverage(films, weights)
    assert (np.diff(decided, axis=1) >= 0).all()
    np.testing.assert_allclose(decided[:, -1], 1)
    wrong = (films.decisions != films.labels).astype(float)
    np.testing.assert_allclose(risk[:, -1], weights @ wrong / weights.sum(axis=1))


@given(cases)
def test_the_area_is_the_mean_over_films_of_the_error_at_their_own_confidence(films):
    sureness, wrong = films.probabilities.max(axis=1), films.decisions != films.labels
    expected = np.mean([wrong[sureness >= level].mean() for level in sureness])
    assert aurc(films, np.ones((1, len(films))))[0] == pytest.approx(expected)


def test_weights_are_copies_of_films():
    films = draw_films(60, quality=1, seed=4)
    weights = np.random.default_rng(1).integers(0, 4, (1, 60)).astype(float)
    rows = np.repeat(np.arange(60), weights[0].astype(int))
    copies = ScoredFilms(films.labels[rows], films.probabilities[rows], np.arange(len(rows)), FINDINGS)
    assert aurc(films, weights)[0] == pytest.approx(aurc(copies, np.ones((1, len(rows))))[0])


def test_a_confidence_that_knows_better_has_a_smaller_area():
    films = draw_films(500, quality=1.5, seed=6)
    shuffled = ScoredFilms(films.labels, films.probabilities[::-1].copy(), films.patients, FINDINGS)
    everyone = np.ones((1, 500))
    assert aurc(films, everyone)[0] < 1 - (films.decisions == films.labels).mean() < aurc(shuffled, everyone)[0]


def test_the_report_counts_what_is_decided():
    films = draw_films(300, quality=2, seed=1)
    report = measure_selective(films, refer_below=0.7, target_error=0.05, resamples=200, seed=0)
    decided = films.probabilities.max(axis=1) >= 0.7
    assert report.refer_rate.value == pytest.approx((~decided).mean())
    assert report.error.value == pytest.approx((films.decisions != films.labels)[decided].mean())
    for found in (report.aurc, report.refer_rate, report.error):
        assert found.low <= found.value <= found.high
    assert report.error.value < (films.decisions != films.labels).mean()


def test_when_every_film_is_referred_there_is_no_error_to_report():
    report = measure_selective(draw_films(60), refer_below=1.1, target_error=0.05, resamples=100, seed=0)
    assert report.refer_rate.value == 1
    assert report.error.reason == report.ece.reason == "every film is referred"


def test_the_band_holds_the_curve():
    films = draw_films(200, quality=2, seed=2)
    band = risk_coverage_band(films, seed=0)
    wrong = (films.decisions != films.labels).mean()
    assert band.y[-1] == pytest.approx(wrong)
    assert ((band.low <= band.y + 1e-9) & (band.y <= band.high + 1e-9)).mean() > 0.95


def test_films_that_are_unlike_are_referred_whatever_their_confidence():
    films = draw_films(60, quality=3.0, seed=2)
    unlike = np.arange(len(films)) % 3 == 0
    limit = float(np.median(films.probabilities.max(axis=1)))
    draws = {"refer_below": limit, "target_error": 0.05, "resamples": 100, "seed": 1}
    plain, found = measure_selective(films, **draws), measure_selective(films, unlike=unlike, **draws)
    decided = (films.probabilities.max(axis=1) >= limit) & ~unlike
    assert found.refer_rate.value == pytest.approx(1 - decided.mean())
    assert found.unlike_rate.value == pytest.approx(1 / 3)
    assert found.error.value == pytest.approx((films.decisions != films.labels)[decided].mean())
    assert found.aurc == plain.aurc
    assert plain.unlike_rate is None
