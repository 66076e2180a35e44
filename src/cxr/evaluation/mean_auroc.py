"""The mean of several AUROCs, each over rows of one set of films."""

from collections.abc import Sequence

import numpy as np

from cxr.evaluation.arrays import Floats, Ints
from cxr.evaluation.bootstrap import ranking_limit
from cxr.evaluation.discrimination import Ranking, auroc

Ranked = tuple[Ints, Ranking]
"""Rows of the films and how those are ranked."""


def mean_auroc(ranked: Sequence[Ranked], weights: Floats) -> Floats:
    """The mean, [b], for weights [b, n] of n films."""
    values: Floats = np.mean([auroc(ranking.count(weights[:, rows])) for rows, ranking in ranked], axis=0)
    return values


def mean_ranking_limit(ranked: Sequence[Ranked], patients: Ints) -> float | None:
    """The lower limit of the mean where nothing is ranked wrong: the mean of the limits. None without any ranking.

    Args:
        ranked: what the mean is of.
        patients: of n films, [n].
    """
    if not ranked:
        return None
    limits = []
    for rows, ranking in ranked:
        ordered, positive = patients[rows[ranking.order]], ranking.positive > 0
        limits.append(ranking_limit(*(len(np.unique(ordered[side])) for side in (positive, ~positive))))
    return float(np.mean(limits))
