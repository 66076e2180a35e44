"""Curves with their confidence bands, for figures and for tools that plot them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr.evaluation.arrays import Floats, Ints, Mask, ratio
from cxr.evaluation.bootstrap import patient_weights
from cxr.evaluation.calibration import equal_mass_bins
from cxr.evaluation.discrimination import RankedCounts, Ranking
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.selective import risk_coverage

RESAMPLES = 400
_TAILS = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Band:
    """A curve y over a grid x with the pointwise 95% band of its resamples, all float64 [g]."""

    x: Floats
    y: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often something is so, by the probability given to it; arrays over the k bins that hold films.

    Attributes:
        given: mean probability.
        observed: share of films.
        low, high: ends of the 95% interval of `observed`.
        films: number of films.
    """

    given: Floats
    observed: Floats
    low: Floats
    high: Floats
    films: Ints


def roc_band(scores: Floats, positive: Mask, patients: Ints, *, seed: int) -> Band:
    """Sensitivity over false positive rate, `scores` and `positive` [n]; needs films with and without the finding."""
    grid = np.linspace(0, 1, 201)
    return _band(scores, positive, patients, grid, seed, _sensitivity_over)


def precision_recall_band(scores: Floats, positive: Mask, patients: Ints, *, seed: int) -> Band:
    """Precision over recall, `scores` and `positive` [n]; needs films with and without the finding."""
    grid = np.linspace(0.005, 1, 200)
    return _band(scores, positive, patients, grid, seed, _precision_over)


def risk_coverage_band(films: ScoredFilms, *, seed: int) -> Band:
    """Share of wrong decisions over the share of films decided, the surest first."""
    grid = np.linspace(0.02, 1, 99)
    drawn = []
    for weights in patient_weights(films.patients, resamples=RESAMPLES, seed=seed):
        decided, risk = risk_coverage(films, weights)
        drawn += [row[np.searchsorted(share, grid * (1 - 1e-9))] for share, row in zip(decided, risk, strict=True)]
    curves = np.array(drawn)
    low, high = np.nanquantile(curves[1:], _TAILS, axis=0)
    return Band(grid, curves[0], low, high)


def reliability(given: Floats, happened: Mask, patients: Ints, *, bins: int, seed: int) -> Reliability:
    """Compare probabilities `given` [n] with what `happened` [n], in bins of equal mass."""
    places = np.eye(bins)[equal_mass_bins(given, bins=bins)]
    places = places[:, places.any(axis=0)]
    films = places.sum(axis=0)
    drawn = np.concatenate(
        [
            ratio((weights * happened) @ places, weights @ places)
            for weights in patient_weights(patients, resamples=RESAMPLES, seed=seed)
        ]
    )
    low, high = np.nanquantile(drawn[1:], _TAILS, axis=0)
    return Reliability(given @ places / films, drawn[0], low, high, films.astype(np.int64))


def _band(
    scores: Floats,
    positive: Mask,
    patients: Ints,
    grid: Floats,
    seed: int,
    read: Callable[[RankedCounts, Floats], Floats],
) -> Band:
    ranking = Ranking.of(scores, positive)
    blocks = patient_weights(patients, resamples=RESAMPLES, seed=seed)
    drawn = np.concatenate([read(ranking.count(weights), grid) for weights in blocks])
    low, high = np.nanquantile(drawn[1:], _TAILS, axis=0)
    return Band(grid, drawn[0], low, high)


def _sensitivity_over(counts: RankedCounts, grid: Floats) -> Floats:
    """Highest sensitivity [b, g] at each false positive rate."""
    rows = np.full((len(counts.hits), len(grid)), np.nan)
    for row, (hits, alarms) in enumerate(zip(counts.hits, counts.false_alarms, strict=True)):
        if hits[-1] and alarms[-1]:
            reached = np.searchsorted(alarms, grid * alarms[-1] * (1 + 1e-9), side="right")
            rows[row] = np.append(0.0, hits)[reached] / hits[-1]
    return rows


def _precision_over(counts: RankedCounts, grid: Floats) -> Floats:
    """Precision [b, g] at the threshold that first reaches each recall."""
    rows = np.full((len(counts.hits), len(grid)), np.nan)
    for row, (hits, alarms) in enumerate(zip(counts.hits, counts.false_alarms, strict=True)):
        if hits[-1]:
            first = np.searchsorted(hits, grid * hits[-1] * (1 - 1e-9), side="left")
            rows[row] = hits[first] / (hits[first] + alarms[first])
    return rows
