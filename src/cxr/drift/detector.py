"""Two-sample tests of a window of films against the reference. The only module that imports Alibi Detect.

Kolmogorov–Smirnov tests on the projected embedding, the distance from the training films and the image statistics, and
chi-square tests on decisions and confidence, are one family: the false discovery rate is held at `level` over all of
them (Benjamini & Hochberg 1995), so that a window without drift alarms with at most that probability. Where torch can
be imported, half of the level goes to a test of the maximum mean discrepancy (Gretton et al. 2012) of the embedding.
"""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cxr.contracts.drift import TestResult, Verdict
from cxr.drift.watched import WatchedFilms

LEVEL = 0.01
"""Probability of an alarm of a window without drift."""
CONFIDENCE_BINS = 5

Correction = Literal["bonferroni", "fdr"]
Group = Literal["embedding", "output", "image"]

_PERMUTATIONS = 1000
_NO_TORCH = "Alibi Detect computes it with torch (or TensorFlow), which is not installed here"


class Detector:
    """The tests of one reference.

    Attributes:
        level: of the family.
        reference: films that windows are compared with.
        left_out: tests that cannot run here, and why.
    """

    def __init__(
        self,
        reference: WatchedFilms,
        *,
        statistics: Sequence[str],
        level: float = LEVEL,
        correction: Correction = "fdr",
    ) -> None:
        """Prepare the tests.

        Args:
            reference: films to compare with.
            statistics: names of the image statistics, in order.
            level: probability of an alarm of a window without drift.
            correction: for the number of tests; `fdr` alarms whenever `bonferroni` does, at the same level.
        """
        # transformers, which Alibi Detect imports, prints what it would like to have besides
        os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
        from alibi_detect.cd import ChiSquareDrift, KSDrift

        self.level = level
        self.reference = reference
        self._correction = correction
        self._statistics = tuple(statistics)
        self._distances = reference.distance is not None
        cuts = np.quantile(reference.confidence, np.arange(1, CONFIDENCE_BINS) / CONFIDENCE_BINS)
        self._cuts = np.unique(cuts)
        self._numbers = KSDrift(self._numeric(reference), p_val=level)
        self._categories = ChiSquareDrift(self._categorical(reference), p_val=level)
        self._mmd, self.left_out = _mmd(reference, level / 2)
        self._family_level = level if self._mmd is None else level / 2

    def test(self, window: WatchedFilms) -> Verdict:
        """Compare a window of at least two films with the reference."""
        found = self._p_values(window)
        p_values = np.array([p for _, _, p in found.values()])
        threshold = self._threshold(p_values)
        results = [
            TestResult(
                name=name,
                group=self._group(name),
                test=test,
                statistic=statistic,
                p_value=p,
                threshold=threshold,
                alarm=p <= threshold,
            )
            for name, (test, statistic, p) in found.items()
        ]
        if self._mmd is not None:
            results.append(_mmd_result(self._mmd, window, self.level / 2))
        results.sort(key=lambda result: (result.p_value / result.threshold, -result.statistic))
        return Verdict(
            films=len(window),
            alarm=any(result.alarm for result in results),
            level=self.level,
            tests=tuple(results),
            left_out=dict(self.left_out),
        )

    def _p_values(
        self, window: WatchedFilms
    ) -> dict[str, tuple[Literal["kolmogorov-smirnov", "chi-square"], float, float]]:
        p, statistic = self._numbers.feature_score(self._numbers.x_ref, self._numeric(window))
        names = [f"component {number}" for number in range(1, window.embedding.shape[1] + 1)]
        names += [*(["distance"] if self._distances else []), *self._statistics]
        found: dict[str, tuple[Literal["kolmogorov-smirnov", "chi-square"], float, float]] = {
            name: ("kolmogorov-smirnov", float(s), float(v)) for name, s, v in zip(names, statistic, p, strict=True)
        }
        p, statistic = self._categories.feature_score(self._categories.x_ref, self._categorical(window))
        for name, s, v in zip(("decision", "confidence"), statistic, p, strict=True):
            found[name] = ("chi-square", float(s), float(v))
        return found

    def _threshold(self, p_values: npt.NDArray[np.float64]) -> float:
        """The p-value at or below which a test alarms."""
        lowest = self._family_level / len(p_values)
        if self._correction == "bonferroni":
            return lowest
        from alibi_detect.utils.statstest import fdr

        any_alarm, threshold = fdr(p_values, q_val=self._family_level)
        return float(threshold) if any_alarm else lowest

    def _numeric(self, films: WatchedFilms) -> npt.NDArray[np.float32]:
        parts = [films.embedding, films.statistics]
        if self._distances:
            if films.distance is None:
                raise ValueError("the films must have distances, as those of the reference do")
            parts.insert(1, films.distance[:, None])
        return np.concatenate(parts, axis=1)

    def _categorical(self, films: WatchedFilms) -> npt.NDArray[np.int64]:
        return np.stack([films.decisions, np.searchsorted(self._cuts, films.confidence)], axis=1)

    def _group(self, name: str) -> Group:
        if name in self._statistics:
            return "image"
        return "output" if name in ("decision", "confidence") else "embedding"


def _mmd(reference: WatchedFilms, level: float) -> tuple[Any, dict[str, str]]:
    if importlib.util.find_spec("torch") is None:
        return None, {"mmd": _NO_TORCH}
    from alibi_detect.cd import MMDDrift

    return MMDDrift(reference.embedding, backend="pytorch", p_val=level, n_permutations=_PERMUTATIONS), {}


def _mmd_result(mmd: Any, window: WatchedFilms, level: float) -> TestResult:
    found = mmd.predict(window.embedding)["data"]
    return TestResult(
        name="embedding",
        group="embedding",
        test="mmd",
        statistic=float(found["distance"]),
        p_value=float(found["p_val"]),
        threshold=level,
        alarm=float(found["p_val"]) <= level,
    )
