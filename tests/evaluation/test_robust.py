import numpy as np
import pytest

from cxr.evaluation.bootstrap import share_limit
from cxr.evaluation.robust import measure_grid
from cxr.evaluation.scored import ScoredFilms
from support.scored import FINDINGS, draw_films

CLEAN = draw_films(200, quality=1.7)


def worse(share, seed=0):
    """The same films, a share of them with the probabilities of another."""
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(CLEAN)) < share
    probabilities = np.where(chosen[:, None], np.roll(CLEAN.probabilities, 1, axis=1), CLEAN.probabilities)
    return ScoredFilms(CLEAN.labels, probabilities, CLEAN.patients, FINDINGS)


def grid(cells, presets):
    return measure_grid(CLEAN, cells, presets=presets, resamples=300, seed=1, index="i", model="m")


def test_untouched_films_lose_nothing_and_have_no_interval():
    """That no film changed does not say that one would rather lose than win."""
    report = grid({("blur", 1): CLEAN}, {"mild": [("blur", 1)]})
    (cell,) = report.results
    for drop in (cell.accuracy_drop, cell.macro_auroc_drop, report.presets["mild"]["accuracy_drop"]):
        assert (drop.value, drop.low, drop.high) == (0, None, None)


def test_a_corruption_after_which_nothing_is_right_costs_all_with_an_interval_on_both_sides():
    clean = draw_films(200, quality=60)
    wrong = ScoredFilms(clean.labels, np.roll(clean.probabilities, 1, axis=1), clean.patients, FINDINGS)
    cells = {("blur", 5): wrong}
    (cell,) = measure_grid(clean, cells, presets={}, resamples=300, seed=1, index="i", model="m").results
    least = 1 - 2 * (1 - share_limit(int(clean.patients.max()) + 1))
    assert (cell.accuracy_drop.value, cell.accuracy_drop.high) == (1, 1)
    assert cell.accuracy_drop.low == pytest.approx(least)


def test_drops_are_paired_so_that_they_are_known_better_than_levels():
    report = grid({("blur", 1): worse(0.08)}, {})
    (cell,) = report.results
    assert cell.accuracy_drop.value == pytest.approx(report.clean_accuracy.value - cell.accuracy.value)
    width = cell.accuracy_drop.high - cell.accuracy_drop.low
    assert width < 0.9 * (cell.accuracy.high - cell.accuracy.low)
    assert cell.accuracy_drop.low > 0


def test_a_preset_is_the_mean_of_all_its_cells_or_nothing():
    cells = {("blur", 1): worse(0.05), ("blur", 2): worse(0.2), ("jpeg", 1): worse(0.1, seed=4)}
    presets = {"mild": [("blur", 1), ("jpeg", 1)], "partly": [("blur", 2), ("motion", 5)], "never": [("motion", 1)]}
    report = grid(cells, presets)
    by_cell = {(result.corruption, result.severity): result for result in report.results}
    mild = report.presets["mild"]
    for name in ("accuracy", "macro_auroc", "accuracy_drop", "macro_auroc_drop"):
        parts = [getattr(by_cell[cell], name).value for cell in presets["mild"]]
        assert mild[name].value == pytest.approx(np.mean(parts))
        assert mild[name].low <= mild[name].value <= mild[name].high
        assert report.presets["partly"][name].value is None
        assert report.presets["partly"][name].reason.startswith("1 of its 2 corruptions were not measured")
        assert report.presets["never"][name].value is None
        assert "severities" in report.presets["never"][name].reason


def test_worse_films_lose_more():
    drops = [r.accuracy_drop.value for r in grid({("x", s): worse(s / 10) for s in (1, 3, 6)}, {}).results]
    assert drops == sorted(drops)
    assert drops[0] > 0
