"""Chances of counts, without scipy, which a bare training machine need not have."""

import math

import numpy as np
import numpy.typing as npt

from cxr.evaluation.arrays import Floats

_log_gamma = np.frompyfunc(math.lgamma, 1, 1)


def log_choose(n: npt.NDArray[np.int64], k: npt.NDArray[np.int64]) -> Floats:
    """Logarithm of the number of ways to choose `k` of `n`, elementwise; n at least k at least 0.

    >>> float(np.exp(log_choose(np.array([5]), np.array([2]))).round(9)[0])
    10.0
    """
    logarithm: Floats = np.asarray(_log_gamma(n + 1) - _log_gamma(k + 1) - _log_gamma(n - k + 1), dtype=np.float64)
    return logarithm


def upper_share(*, hits: float, trials: int, confidence: float) -> float:
    """Upper confidence limit of a share of which `hits` were seen in `trials` (Clopper & Pearson 1934), one-sided.

    Args:
        hits: rounded up where it is no whole number, which errs to the safe side.
        trials: at least 1.
        confidence: above 0 and under 1.

    >>> round(upper_share(hits=0, trials=100, confidence=0.95), 4)
    0.0295
    """
    most = math.ceil(hits - 1e-9)
    if most >= trials:
        return 1.0
    counts = np.arange(most + 1)
    ways = log_choose(np.full_like(counts, trials), counts)
    low, high = float(hits) / trials, 1.0
    for _ in range(50):
        share = (low + high) / 2
        chance = np.exp(ways + counts * math.log(share) + (trials - counts) * math.log1p(-share)).sum()
        low, high = (share, high) if chance > 1 - confidence else (low, share)
    return high
