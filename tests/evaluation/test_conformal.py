import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.evaluation.conformal import (
    coverage_chance,
    fit_prediction_sets,
    measure_prediction_sets,
    patient_shares,
    prediction_sets,
)
from cxr.evaluation.scored import ScoredFilms
from support.scored import FINDINGS, draw_films

cases = st.builds(
    draw_films,
    st.integers(12, 80),
    quality=st.sampled_from([0.0, 1.0, 3.0, 20.0]),
    seed=st.integers(0, 10_000),
    decimals=st.sampled_from([None, 0, 1]),
)
errors = st.sampled_from([0.05, 0.1, 0.3])


def covered(films, limits):
    return prediction_sets(films.probabilities, limits, FINDINGS)[np.arange(len(films)), films.labels]


def draw_clustered(patients, *, seed, alike=2.0, skew=0.0):
    """Patients with one to six films of one finding that resemble each other; the sickest have the most films."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, patients)
    hard = rng.normal(size=patients)
    films_of = np.clip(np.round(3 + 2 * hard + skew), 1, 6).astype(int)
    rows = np.repeat(np.arange(patients), films_of)
    logits = rng.normal(size=(len(rows), 3)) + (2 - alike * hard[rows])[:, None] * np.eye(3)[labels[rows]]
    return ScoredFilms.from_logits(logits, labels[rows], [str(row) for row in rows], temperature=1.0, findings=FINDINGS)


def test_every_finding_is_covered_as_promised_whoever_is_drawn():
    """The mean over draws of validation and test patients reaches the promise for each finding, not much more."""
    shares = []
    for draw in range(120):
        films = draw_clustered(120, seed=draw)
        validation = films.patients < 60
        limits = fit_prediction_sets(films.take(validation), error=0.1)
        test = films.take(~validation)
        held, weights = covered(test, limits), patient_shares(test)
        shares.append([np.average(held[test.labels == k], weights=weights[test.labels == k]) for k in range(3)])
    spread = np.std(shares, axis=0) / np.sqrt(len(shares))
    mean = np.mean(shares, axis=0)
    assert (mean >= 0.9 - 3 * spread).all()
    assert (mean <= 0.9 + 1 / 15 + 3 * spread).all()  # at most 1 / (patients of a finding + 1) more


def test_limits_that_take_films_for_patients_break_the_promise():
    """What the weights are for: with patients taken apart into films, the same draws are covered too rarely."""
    shares = []
    for draw in range(120):
        films = draw_clustered(120, seed=draw, skew=-1.0)
        validation, test = films.take(films.patients < 60), films.take(films.patients >= 60)
        apart = ScoredFilms(validation.labels, validation.probabilities, np.arange(len(validation)), FINDINGS)
        weights = patient_shares(test)
        shares.append(
            [
                np.average(covered(test, fit_prediction_sets(part, error=0.3)), weights=weights)
                for part in (validation, apart)
            ]
        )
    by_patient, by_film = np.mean(shares, axis=0)
    assert abs(by_patient - 0.7) < abs(by_film - 0.7)
    assert by_patient >= 0.69


@given(cases, errors)
def test_enough_validation_patients_are_covered_and_no_larger_limit_would_do(films, error):
    limits = fit_prediction_sets(films, error=error)
    held, weights = covered(films, limits), patient_shares(films)
    for number, finding in enumerate(FINDINGS):
        present = films.labels == number
        needed = (1 - error) * (films.patients_of(present) + 1) - 1e-9
        scores = films.probabilities[present, number]
        if limits.least_probability[finding] > 0:
            assert weights[present & held].sum() >= needed
            above = scores > limits.least_probability[finding]
            assert weights[present][above].sum() < needed
        else:
            assert weights[present].sum() < needed or scores.min() == 0


@given(cases, errors, errors)
def test_a_smaller_error_never_gives_a_smaller_set(films, one, other):
    small, large = sorted((one, other))
    wide = prediction_sets(films.probabilities, fit_prediction_sets(films, error=small), FINDINGS)
    narrow = prediction_sets(films.probabilities, fit_prediction_sets(films, error=large), FINDINGS)
    assert (wide | ~narrow).all()


def test_a_finding_with_too_few_patients_is_in_every_set():
    films = draw_films(400, quality=5).take(np.arange(400) < 400)
    rare = films.take((films.labels != 2) | (np.cumsum(films.labels == 2) <= 3))
    limits = fit_prediction_sets(rare, error=0.1)
    assert limits.least_probability["Tuberculosis"] == 0
    assert prediction_sets(films.probabilities, limits, FINDINGS)[:, 2].all()
    absent = fit_prediction_sets(draw_films(100, findings=2), error=0.1)
    assert (absent.least_probability["Tuberculosis"], absent.patients["Tuberculosis"]) == (0, 0)


@given(cases)
def test_every_patient_counts_once_per_finding(films):
    weights = patient_shares(films)
    for number in films.present:
        present = films.labels == number
        assert weights[present].sum() == pytest.approx(films.patients_of(present))


def test_the_report_counts_what_a_person_would_count():
    films = draw_films(300, quality=1.5, seed=2)
    limits = fit_prediction_sets(draw_films(300, quality=1.5, seed=1), error=0.1)
    report = measure_prediction_sets(films, limits, resamples=200, seed=3)
    sets, weights = prediction_sets(films.probabilities, limits, FINDINGS), patient_shares(films)
    sizes, held = sets.sum(axis=1), covered(films, limits)
    assert report.coverage.value == pytest.approx(np.average(held, weights=weights))
    assert report.mean_size.value == pytest.approx(np.average(sizes, weights=weights))
    shares = (report.empty.value, report.single.value, report.multiple.value)
    assert shares == pytest.approx(
        tuple(np.average(mask, weights=weights) for mask in (sizes == 0, sizes == 1, sizes > 1))
    )
    assert sum(shares) == pytest.approx(1)
    one = sizes == 1
    assert report.single_right.value == pytest.approx(np.average(held[one], weights=weights[one]))
    for number, finding in enumerate(FINDINGS):
        found = report.per_class[finding]
        present = films.labels == number
        assert found.coverage.value == pytest.approx(np.average(held[present], weights=weights[present]))
        assert found.coverage.low <= found.coverage.value <= found.coverage.high
        assert found.patients == films.patients_of(present)


def test_a_finding_that_no_film_has_says_so():
    limits = fit_prediction_sets(draw_films(200), error=0.1)
    report = measure_prediction_sets(draw_films(60, findings=2), limits, resamples=100, seed=0)
    found = report.per_class["Tuberculosis"]
    assert (found.coverage.reason, found.chance, found.patients) == ("no film of Tuberculosis", None, 0)


@pytest.mark.parametrize(("patients", "fitted_on"), [(40, 25), (100, 60), (15, 200)])
def test_the_chance_of_a_coverage_is_that_of_drawing_both_groups_of_patients(patients, fitted_on):
    """Against ranks drawn at random: the limit is the validation patient who is `left_out` from below."""
    rng = np.random.default_rng(5)
    left_out = (fitted_on + 1) // 10
    validation = np.sort(rng.random((20_000, fitted_on)), axis=1)[:, left_out - 1]
    hits = (rng.random((20_000, patients)) >= validation[:, None]).sum(axis=1)
    for covered_patients in range(0, patients + 1, 5):
        found = coverage_chance(covered=covered_patients, patients=patients, fitted_on=fitted_on, error=0.1)
        assert found == pytest.approx((hits <= covered_patients).mean(), abs=0.012)


def test_sets_that_keep_their_promise_are_rarely_called_broken_and_broken_ones_are():
    kept, broken = [], []
    for draw in range(60):
        films = draw_clustered(240, seed=draw)
        validation, test = films.take(films.patients < 120), films.take(films.patients >= 120)
        limits = fit_prediction_sets(validation, error=0.1)
        worse = ScoredFilms(test.labels, np.roll(test.probabilities, 1, axis=1), test.patients, FINDINGS)
        for part, chances in ((test, kept), (worse, broken)):
            report = measure_prediction_sets(part, limits, resamples=0, seed=0)
            chances.append(min(found.chance for found in report.per_class.values()) * 3)
    assert np.mean(np.array(kept) < 0.05) <= 0.06
    assert np.mean(np.array(broken) < 0.05) == 1
