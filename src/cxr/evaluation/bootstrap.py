"""Confidence intervals by resampling patients (Efron & Tibshirani 1993; clusters: Field & Welsh 2007).

A resample is not a copy of films but a weight per film: how often its patient was drawn. Every metric takes weights
[b, n], so that b resamples cost one sort and a few passes over a matrix instead of b evaluations.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from cxr.contracts.metrics import Estimate
from cxr.evaluation.arrays import Floats, Ints

Key = TypeVar("Key", bound=Hashable)

_TAILS = (0.025, 0.975)
_DEVIATE = 1.959964
_BLOCK, _CELLS = 64, 2**20
PLACES = 12
"""To which values are compared: sums are rounded."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What an estimate rests on.

    Attributes:
        reason: why the metric is undefined on these films; empty when it is not.
        limit: lower confidence limit of the metric when the films hold no error, see `share_limit` and `ranking_limit`;
            None when the metric has no perfect value of 1.
        noise: what noise does to the metric: "raises" it, as a calibration error; "lowers" it, as the smallest of
            several figures.
    """

    reason: str = ""
    limit: float | None = None
    noise: Literal["", "raises", "lowers"] = ""


def same(first: float, second: float) -> bool:
    """Whether two values differ by rounding alone."""
    return round(first, PLACES) == round(second, PLACES)


def share_limit(patients: int) -> float:
    """Lower 95% limit of a share that is 1 among so many patients: exact binomial (Clopper & Pearson 1934).

    >>> round(share_limit(100), 3)
    0.964
    """
    return float(_TAILS[0] ** (1 / max(1, patients)))


def ranking_limit(with_finding: int, without: int) -> float:
    """Lower 95% limit of an AUROC that is 1 among so many patients with and without the finding.

    Newcombe's method 5 (2006, Statistics in Medicine 25:559): the AUROC whose standard error, by Hanley and McNeil's
    formula for equal exponential spreads, puts 1 at the edge of the interval.

    >>> round(ranking_limit(20, 50), 3)
    0.93
    """
    pairs, spare = max(1, with_finding) * max(1, without), (with_finding + without) / 2 - 1
    low, high = 0.0, 1.0
    for _ in range(50):
        area = (low + high) / 2
        variance = area * (1 - area) * (1 + spare * ((1 - area) / (2 - area) + area / (1 + area))) / pairs
        low, high = (area, high) if (1 - area) ** 2 > _DEVIATE**2 * variance else (low, area)
    return (low + high) / 2


def patient_weights(patients: Ints, *, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield weights [b, n] in blocks; the very first row is all ones (the films as they are), then the resamples.

    Args:
        patients: int64 [n], 0..p-1.
        resamples: how often p patients are drawn with replacement.
        seed: the same seed gives the same weights, whatever the size of the blocks.
    """
    rng = np.random.default_rng(seed)
    count = int(patients.max()) + 1
    block = max(1, min(_BLOCK, _CELLS // len(patients)))
    yield np.ones((1, len(patients)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        draws = rng.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        drawn = np.bincount(draws.ravel(), minlength=rows * count).reshape(rows, count)
        yield drawn.astype(np.float64)[:, patients]


def bootstrap(
    statistics: Callable[[Floats], Mapping[Key, Floats]],
    patients: Ints,
    *,
    resamples: int,
    seed: int,
) -> dict[Key, Floats]:
    """Compute statistics on the films and on every resample.

    Args:
        statistics: weights [b, n] to named values [b], NaN where undefined.
        patients: int64 [n], 0..p-1.
        resamples: number of resamples.
        seed: of the resamples.

    Returns:
        float64 [1 + resamples] by name; the first is the value on the films as they are.
    """
    blocks = [statistics(weights) for weights in patient_weights(patients, resamples=resamples, seed=seed)]
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def defined_resamples(values: Floats) -> Floats:
    """Those of [1 + resamples] values as from `bootstrap` that are defined; none when more than half are not."""
    drawn = values[1:][np.isfinite(values[1:])]
    return drawn if 2 * len(drawn) > len(values) - 1 else drawn[:0]


def estimate(values: Floats, basis: Basis) -> Estimate:
    """The value on the films with the 95% percentile interval of its resamples.

    Resamples on which the metric is undefined are left out; when they are more than half, there is no interval. Nor is
    there one where every resample has the same value, as with the films of one patient, for nothing is known of others.
    Two cases are known to mislead and are mended:

    - Films without any error hold nothing to resample and would get an interval of no width around 1 (or 0). Its far
      end is the limit that the basis gives.
    - A metric that noise raises, or lowers, is moved again in the resamples. Its interval is moved back by the bias so
      estimated (mean of the resamples less the value), never below 0 or, where noise lowers it, over 1.

    Args:
        values: [1 + resamples] as from `bootstrap`.
        basis: what the metric rests on.
    """
    value = float(values[0])
    if not np.isfinite(value):
        return Estimate(value=None, reason=basis.reason or "it is undefined on these films")
    drawn = defined_resamples(values)
    if not len(drawn):
        return Estimate(value=value)
    low, high = (float(end) for end in np.quantile(drawn, _TAILS))
    if same(low, high) and same(low, value):
        if basis.limit is None or round(value, PLACES) not in (0.0, 1.0):
            return Estimate(value=value)
        value = float(round(value))
        low, high = (basis.limit, 1.0) if value else (0.0, 1 - basis.limit)
    elif basis.noise:
        bias = float(drawn.mean()) - value
        low, high = max(0.0, low - bias), high - bias
        high = min(1.0, high) if basis.noise == "lowers" else high
    return Estimate(value=value, low=low, high=high)


def estimate_difference(values: Floats, basis: Basis) -> Estimate:
    """A difference of two values of one metric, such as what a corruption costs, with its interval as in `estimate`.

    A difference that no resample changes is no certainty: both values may differ from what was seen. Where it is 0
    there is no interval, for nothing says to which side it would move. Elsewhere each value may be off by as much as
    one that is 1 on this basis.

    Args:
        values: [1 + resamples] as from `bootstrap`.
        basis: what each of the two values rests on; the one that rests on less.
    """
    found = estimate(values, Basis(reason=basis.reason))
    if found.value is None or found.low is not None or not len(defined_resamples(values)):
        return found
    value = float(round(found.value, PLACES))
    if value == 0 or basis.limit is None:
        return Estimate(value=value)
    play = 2 * (1 - basis.limit)
    return Estimate(value=value, low=max(-1.0, value - play), high=min(1.0, value + play))
