"""Array types of the figures of merit, and division whose undefined results stay undefined."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole` with broadcasting, NaN where `whole` is 0."""
    quotient = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Means [b] of values [n] under weights [b, n]; NaN where all weights are 0."""
    return ratio(weights @ values, weights.sum(axis=1))
