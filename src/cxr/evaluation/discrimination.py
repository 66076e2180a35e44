"""How well a score ranks films: ROC and precision-recall figures for many weightings of the same films at once."""

from dataclasses import dataclass

import numpy as np

from cxr.evaluation.arrays import Floats, Ints, Mask, ratio

_ROUNDING = 1e-9
"""Relative: a rate that equals its limit but for rounding meets it."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Films by falling score, sorted once for all weightings.

    Attributes:
        thresholds: float64 [u], the distinct scores, falling.
        order: films by falling score.
        positive: [n] in that order, 1 or 0.
        first: first position of each distinct score, or None when all n are distinct.
    """

    thresholds: Floats
    order: Ints
    positive: Floats
    first: Ints | None

    @classmethod
    def of(cls, scores: Floats, positive: Mask) -> "Ranking":
        """Rank films by `scores` [n]; `positive` [n] says which of them have the finding."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        first = np.append(0, np.flatnonzero(np.diff(ordered)) + 1)
        ties = len(first) < len(scores)
        return cls(ordered[first], order, positive[order].astype(np.float64), first if ties else None)

    def count(self, weights: Floats) -> "RankedCounts":
        """Weigh the films, weights float64 [b, n]."""
        alarms = np.take(weights, self.order, axis=1)
        hits = alarms * self.positive
        alarms -= hits
        if self.first is not None:
            hits, alarms = np.add.reduceat(hits, self.first, axis=1), np.add.reduceat(alarms, self.first, axis=1)
        return RankedCounts(hits, np.cumsum(hits, axis=1), alarms, np.cumsum(alarms, axis=1))


@dataclass(frozen=True, eq=False)
class RankedCounts:
    """Weight of films by u falling thresholds, for b weightings.

    Attributes:
        new_hits: float64 [b, u], films with the finding whose score is the threshold.
        hits: float64 [b, u], films with the finding at or above the threshold.
        new_false_alarms: float64 [b, u], films without it whose score is the threshold.
        false_alarms: float64 [b, u], films without it at or above the threshold.
    """

    new_hits: Floats
    hits: Floats
    new_false_alarms: Floats
    false_alarms: Floats

    @property
    def positives(self) -> Floats:
        """[b], all films with the finding."""
        return self.hits[:, -1]

    @property
    def negatives(self) -> Floats:
        """[b], all films without it."""
        return self.false_alarms[:, -1]


def auroc(counts: RankedCounts) -> Floats:
    """Area under the ROC curve [b], ties counted half (Hanley & McNeil 1982); NaN without positives or negatives."""
    area = np.einsum("bu,bu->b", counts.new_false_alarms, counts.hits)
    area -= 0.5 * np.einsum("bu,bu->b", counts.new_false_alarms, counts.new_hits)
    return ratio(area, counts.positives * counts.negatives)


def average_precision(counts: RankedCounts) -> Floats:
    """Area under the precision-recall curve [b] as a step function (average precision); NaN unless both kinds occur."""
    called = counts.hits + counts.false_alarms
    precision = np.divide(counts.hits, called, out=np.zeros_like(called), where=called > 0)
    area = np.einsum("bu,bu->b", counts.new_hits, precision)
    return np.where(counts.negatives > 0, ratio(area, counts.positives), np.nan)


def sensitivity_at_specificity(counts: RankedCounts, specificity: float) -> Floats:
    """The highest sensitivity [b] of any threshold whose specificity is at least `specificity`."""
    allowed = (1 - specificity) * counts.negatives * (1 + _ROUNDING) + _ROUNDING
    reached = (counts.false_alarms <= allowed[:, None]).sum(axis=1)
    best = np.take_along_axis(counts.hits, np.maximum(reached - 1, 0)[:, None], axis=1)[:, 0]
    return _unless_one_kind(ratio(np.where(reached > 0, best, 0.0), counts.positives), counts)


def specificity_at_sensitivity(counts: RankedCounts, sensitivity: float) -> Floats:
    """The highest specificity [b] of any threshold whose sensitivity is at least `sensitivity`."""
    wanted = sensitivity * counts.positives * (1 - _ROUNDING)
    short = np.minimum((counts.hits < wanted[:, None]).sum(axis=1), counts.hits.shape[1] - 1)
    least = np.take_along_axis(counts.false_alarms, short[:, None], axis=1)[:, 0]
    if sensitivity <= 0:
        least = np.zeros_like(least)
    return _unless_one_kind(ratio(counts.negatives - least, counts.negatives), counts)


def roc_curve(scores: Floats, positive: Mask) -> tuple[Floats, Floats, Floats]:
    """False positive rate, sensitivity and threshold of every operating point, [u + 1], from none called to all called.

    The first threshold is infinite. Raises `ValueError` unless films with and without the finding occur.
    """
    ranking = Ranking.of(scores, positive)
    counts = ranking.count(np.ones((1, len(scores))))
    if not counts.positives[0] or not counts.negatives[0]:
        raise ValueError("a ROC curve needs films with and without the finding")
    rates = [np.append(0.0, side[0] / side[0, -1]) for side in (counts.false_alarms, counts.hits)]
    return rates[0], rates[1], np.append(np.inf, ranking.thresholds)


def _unless_one_kind(values: Floats, counts: RankedCounts) -> Floats:
    return np.where((counts.positives > 0) & (counts.negatives > 0), values, np.nan)
