"""Figures of merit of decisions, from confusion matrices [..., c, c]: rows are true findings, columns decisions."""

import numpy as np

from cxr.evaluation.arrays import Floats, Ints, ratio


def confusion(labels: Ints, decisions: Ints, weights: Floats, *, findings: int) -> Floats:
    """Weight of the films of each finding (row) that were decided each way (column).

    Args:
        labels: [n].
        decisions: [n].
        weights: float64 [b, n].
        findings: c.

    Returns:
        float64 [b, c, c].
    """
    cells = np.zeros((len(labels), findings**2))
    cells[np.arange(len(labels)), labels * findings + decisions] = 1
    return (weights @ cells).reshape(-1, findings, findings)


def accuracy(matrix: Floats) -> Floats:
    """Share of films decided rightly, [...]."""
    return ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1)))


def recall(matrix: Floats) -> Floats:
    """Sensitivity of each finding [..., c]; NaN where no film has it."""
    return ratio(_right(matrix), matrix.sum(axis=-1))


def precision(matrix: Floats) -> Floats:
    """Positive predictive value of each finding [..., c]; NaN where no film was decided so."""
    return ratio(_right(matrix), matrix.sum(axis=-2))


def specificity(matrix: Floats) -> Floats:
    """Share of the films without each finding that were not decided so, [..., c]; NaN where every film has it."""
    without = matrix.sum(axis=(-2, -1))[..., None] - matrix.sum(axis=-1)
    return ratio(without - (matrix.sum(axis=-2) - _right(matrix)), without)


def f1(matrix: Floats) -> Floats:
    """Harmonic mean of precision and recall of each finding [..., c]; NaN where no film has it."""
    occurs = matrix.sum(axis=-1)
    return np.where(occurs > 0, ratio(2 * _right(matrix), occurs + matrix.sum(axis=-2)), np.nan)


def _right(matrix: Floats) -> Floats:
    return np.diagonal(matrix, axis1=-2, axis2=-1)
