import numpy as np
import pytest
from scipy.stats import ks_2samp

from cxr.drift.detector import Detector
from cxr.drift.measure import measure, wilson
from cxr.drift.watched import WatchedFilms

STATISTICS = ("mean", "noise")


def films(number, seed, *, shift=0.0, decisions=(0.5, 0.3, 0.2), distance=True):
    rng = np.random.default_rng(seed)
    return WatchedFilms(
        embedding=rng.normal(shift, 1, (number, 4)).astype(np.float32),
        distance=rng.normal(5, 1, number).astype(np.float32) if distance else None,
        decisions=rng.choice(3, number, p=decisions),
        confidence=rng.beta(5, 1, number).astype(np.float32),
        statistics=rng.normal(100, 10, (number, 2)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def detector():
    return Detector(films(400, 0), statistics=STATISTICS)


def test_every_column_is_tested_and_the_statistic_is_that_of_scipy(detector):
    window = films(60, 1)
    verdict = detector.test(window)
    tests = {test.name: test for test in verdict.tests}
    assert set(tests) == {*(f"component {n}" for n in (1, 2, 3, 4)), "distance", *STATISTICS, "decision", "confidence"}
    expected = ks_2samp(films(400, 0).statistics[:, 1], window.statistics[:, 1], method="asymp")
    assert tests["noise"].p_value == pytest.approx(expected.pvalue, rel=1e-4)
    assert tests["noise"].group == "image"
    assert tests["decision"].test == "chi-square"


@pytest.mark.parametrize("correction", ["fdr", "bonferroni"])
def test_windows_without_drift_alarm_as_often_as_the_level_says(correction):
    alarms = 0
    for seed in range(100):
        detector = Detector(films(300, seed), statistics=STATISTICS, level=0.05, correction=correction)
        alarms += detector.test(films(50, 1000 + seed)).alarm
    assert alarms <= 11  # of 100 at 5%: more has a probability under 1%


@pytest.mark.parametrize("changes", [{"shift": 0.9}, {"decisions": (0.05, 0.05, 0.9)}], ids=["embedding", "decisions"])
def test_drift_alarms_where_it_is(detector, changes):
    verdict = detector.test(films(100, 2, **changes))
    assert verdict.alarm
    assert verdict.tests[0].alarm
    assert verdict.tests[0].group == ("output" if "decisions" in changes else "embedding")
    assert not {test.name for test in verdict.tests if test.alarm} & set(STATISTICS)


def test_a_reference_without_distances_is_still_used():
    detector = Detector(films(200, 0, distance=False), statistics=STATISTICS)
    assert "distance" not in {test.name for test in detector.test(films(50, 1)).tests}


def test_one_class_only_and_equal_confidences_give_p_values(detector):
    same = films(30, 3, decisions=(1.0, 0, 0))
    same.confidence[:] = 1
    verdict = Detector(same, statistics=STATISTICS).test(same)
    assert not verdict.alarm
    assert all(0 <= test.p_value <= 1 for test in verdict.tests)


def test_rates_are_measured_where_films_allow(detector):
    rehearsal = {"clean": films(60, 5), "severe": films(60, 6, shift=1.0)}
    found = measure(detector, rehearsal, bundle="b", windows=20, sizes=(25, 50, 100))
    rates = {(rate.condition, rate.window): rate.alarms for rate in found.rates}
    assert set(rates) == {(condition, size) for condition in rehearsal for size in (25, 50)}
    assert rates["clean", 50] <= 2
    assert rates["severe", 50] == 20
    assert found == measure(detector, rehearsal, bundle="b", windows=20, sizes=(25, 50, 100))


def test_without_rehearsal_the_reason_is_given(detector):
    found = measure(detector, {}, bundle="b")
    assert found.rates == ()
    assert "cxr fit-drift" in found.reason


def test_wilson_agrees_with_the_published_example():
    # Newcombe 1998, table I: 81 / 263 and 0 / 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
