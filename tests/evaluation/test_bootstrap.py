import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from cxr.contracts.metrics import Estimate
from cxr.evaluation import bootstrap as module
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import (
    Basis,
    bootstrap,
    estimate,
    estimate_difference,
    patient_weights,
    ranking_limit,
    share_limit,
)
from cxr.evaluation.measures import BriefMeasures
from support.scored import draw_films

PATIENTS = np.array([0, 1, 1, 2, 3, 3, 3, 4])


def all_weights(patients=PATIENTS, **options):
    return np.concatenate(list(patient_weights(patients, **({"resamples": 300, "seed": 5} | options))))


def test_the_first_row_is_the_films_as_they_are():
    weights = all_weights()
    assert weights.shape == (301, 8)
    assert (weights[0] == 1).all()


def test_a_resample_draws_as_many_patients_as_there_are_with_all_their_films():
    weights = all_weights()[1:]
    _, first = np.unique(PATIENTS, return_index=True)
    assert (weights[:, first].sum(axis=1) == 5).all()
    assert (weights == weights[:, first][:, PATIENTS]).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.2)
    assert weights.var() == pytest.approx(1 - 1 / 5, rel=0.15)


@pytest.mark.parametrize("cells", [8, 100, 2**20])
def test_the_draws_do_not_depend_on_the_size_of_the_blocks(monkeypatch, cells):
    expected = all_weights()
    monkeypatch.setattr(module, "_CELLS", cells)
    assert np.array_equal(all_weights(), expected)
    assert not np.array_equal(all_weights(seed=6), expected)


def test_it_agrees_with_scoring_copies_of_the_films():
    films = draw_films(120, quality=1.5)
    drawn = bootstrap(BriefMeasures(films), films.patients, resamples=60, seed=2)
    weights = all_weights(films.patients, resamples=60, seed=2)
    for number, row in enumerate(weights.astype(int)):
        labels, scores = np.repeat(films.labels, row), np.repeat(films.probabilities, row, axis=0)
        assert drawn[OVERALL, "accuracy"][number] == pytest.approx(
            oracle.accuracy_score(labels, scores.argmax(axis=1)), abs=1e-12
        )
        assert drawn[OVERALL, "macro_auroc"][number] == pytest.approx(
            oracle.roc_auc_score(labels, scores, multi_class="ovr"), abs=1e-12
        )
    found = estimate(drawn[OVERALL, "accuracy"], Basis())
    assert (found.low, found.high) == tuple(np.quantile(drawn[OVERALL, "accuracy"][1:], [0.025, 0.975]))


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(300):
        # patients with two films that are right or wrong together: half as much information as films
        right = np.repeat(rng.random(80) < 0.8, 2)
        patients = np.repeat(np.arange(80), 2)
        drawn = bootstrap(lambda w, r=right: {"share": w @ r / w.sum(axis=1)}, patients, resamples=200, seed=trial)
        found = estimate(drawn["share"], Basis())
        hits += found.low <= 0.8 <= found.high
    assert 0.90 <= hits / 300 <= 0.98


def test_undefined_is_null_with_its_reason():
    nothing = estimate(np.array([np.nan, 0.5]), Basis(reason="no film of Pneumonia"))
    assert nothing == Estimate(value=None, reason="no film of Pneumonia")


def test_resamples_on_which_it_is_undefined_are_left_out_unless_they_are_most():
    few = np.array([0.5, *np.linspace(0.4, 0.6, 90), *[np.nan] * 10])
    assert estimate(few, Basis()).low == pytest.approx(np.quantile(few[1:91], 0.025))
    most = np.array([0.5, *np.linspace(0.4, 0.6, 40), *[np.nan] * 60])
    assert estimate(most, Basis()) == Estimate(value=0.5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_films_without_an_error_get_an_interval_all_the_same(value):
    found = estimate(np.full(101, value), Basis(limit=share_limit(50)))
    assert found.value == value
    assert found.high - found.low == pytest.approx(1 - 0.025 ** (1 / 50))
    assert found.low >= 0
    assert found.high <= 1


def test_a_sum_that_is_one_but_for_rounding_is_one():
    found = estimate(np.array([1 + 4e-16, *np.linspace(1 - 4e-16, 1 + 4e-16, 100)]), Basis(limit=share_limit(50)))
    assert (found.value, found.high) == (1, 1)
    assert found.low == share_limit(50)


@given(st.integers(1, 500))
def test_a_share_at_its_limit_has_one_chance_in_forty_to_look_perfect(patients):
    assert share_limit(patients) ** patients == pytest.approx(0.025)


@pytest.mark.parametrize(("ill", "healthy"), [(5, 20), (20, 20), (40, 120)])
def test_a_ranking_at_its_limit_rarely_looks_perfect(ill, healthy):
    """Exponential scores, as the limit assumes: P(ill > healthy) = rate / (1 + rate)."""
    area = ranking_limit(ill, healthy)
    rng = np.random.default_rng(0)
    lowest = rng.exponential(area / (1 - area), (20_000, ill)).min(axis=1)
    highest = rng.exponential(1, (20_000, healthy)).max(axis=1)
    assert (lowest > highest).mean() < 0.05


@given(st.integers(1, 60), st.integers(1, 60))
def test_more_patients_narrow_the_limit_of_a_ranking(ill, healthy):
    limit = ranking_limit(ill, healthy)
    assert 0 < limit < 1
    assert limit == pytest.approx(ranking_limit(healthy, ill), abs=0.02)
    assert ranking_limit(2 * ill, 2 * healthy) > limit


def test_a_metric_that_grows_with_noise_is_moved_back():
    rng = np.random.default_rng(0)
    drawn = np.append(0.02, np.abs(rng.normal(0.05, 0.01, 2000)))
    found = estimate(drawn, Basis(noise="raises"))
    assert found.low <= found.value <= found.high
    assert found.high - found.value == pytest.approx(0.02, abs=0.003)
    assert estimate(drawn, Basis()).low > found.value


def test_a_metric_that_noise_lowers_is_moved_back():
    drawn = np.append(0.98, np.random.default_rng(0).normal(0.95, 0.02, 2000))
    found = estimate(drawn, Basis(noise="lowers"))
    assert found.low < found.value < found.high == 1
    assert estimate(drawn, Basis()).high == pytest.approx(0.99, abs=0.005)


def test_films_of_one_patient_say_nothing_of_other_patients():
    right = np.array([True, True, False])
    drawn = bootstrap(lambda w: {"share": w @ right / w.sum(axis=1)}, np.zeros(3, np.int64), resamples=100, seed=1)
    for basis in (Basis(), Basis(limit=share_limit(1)), Basis(noise="raises")):
        assert estimate(drawn["share"], basis) == Estimate(value=pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0] * 5, Estimate(value=0.0)),
        ([0.25] * 5, Estimate(value=0.25, low=0.05, high=0.45)),
        ([-1.0] * 5, Estimate(value=-1.0, low=-1.0, high=-0.8)),
        ([0.5] + [np.nan] * 4, Estimate(value=0.5)),
        ([np.nan] * 5, Estimate(value=None, reason="no film of it")),
    ],
)
def test_a_difference_that_no_resample_changes_may_be_off_either_way(values, expected):
    found = estimate_difference(np.array(values), Basis(limit=0.9, reason="no film of it"))
    assert (found.value, found.reason) == (expected.value, expected.reason)
    assert found.low == (expected.low if expected.low is None else pytest.approx(expected.low))
    assert found.high == (expected.high if expected.high is None else pytest.approx(expected.high))


def test_a_difference_that_varies_has_the_interval_of_its_resamples():
    values = np.append(0.1, np.linspace(-0.2, 0.4, 200))
    assert estimate_difference(values, Basis(limit=0.9)) == estimate(values, Basis())
