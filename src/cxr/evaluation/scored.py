"""Labelled films with what a model says of them: the one input of every figure of merit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.evaluation.arrays import Floats, Ints, Mask
from cxr.evaluation.calibration import softmax


@dataclass(frozen=True, eq=False)
class ScoredFilms:
    """n labelled films, c findings.

    Attributes:
        labels: int64 [n], position in `findings`.
        probabilities: float64 [n, c], calibrated; rows sum to 1.
        patients: int64 [n], 0..p-1; films with the same number are resampled together.
        findings: in the order of the probabilities.
    """

    labels: Ints
    probabilities: Floats
    patients: Ints
    findings: tuple[str, ...]

    def __post_init__(self) -> None:
        n, c = self.probabilities.shape
        if self.labels.shape != (n,) or self.patients.shape != (n,) or c != len(self.findings):
            raise ValueError(
                f"labels, probabilities and patients must have n, n × {len(self.findings)} and n values, have "
                f"{self.labels.shape}, {self.probabilities.shape} and {self.patients.shape}"
            )
        if n == 0 or self.labels.min() < 0 or self.labels.max() >= c:
            raise ValueError(f"there must be films, each with a label in 0..{c - 1}; leave unlabelled films out")

    @classmethod
    def from_logits(
        cls,
        logits: npt.NDArray[np.floating],
        labels: Ints,
        groups: Sequence[str],
        *,
        temperature: float,
        findings: tuple[str, ...],
    ) -> "ScoredFilms":
        """Calibrate logits [n, c]; `groups` names the patient (`group_id`) of each film."""
        _, patients = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
        return cls(labels, softmax(logits, temperature=temperature), patients.astype(np.int64), findings)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def decisions(self) -> Ints:
        """int64 [n], the most probable finding."""
        decisions: Ints = self.probabilities.argmax(axis=1)
        return decisions

    @property
    def present(self) -> tuple[int, ...]:
        """Positions of the findings that occur among the films."""
        return tuple(int(number) for number in np.unique(self.labels))

    def log_odds(self, finding: str, against: str) -> Floats:
        """float64 [n], of one finding against another: what the others take of the probability is left out."""
        likely = np.log(np.maximum(self.probabilities, np.finfo(np.float64).tiny))
        odds: Floats = likely[:, self.findings.index(finding)] - likely[:, self.findings.index(against)]
        return odds

    def take(self, rows: Mask) -> "ScoredFilms":
        """The films of a mask, their patients counted anew."""
        _, patients = np.unique(self.patients[rows], return_inverse=True)
        return ScoredFilms(self.labels[rows], self.probabilities[rows], patients.astype(np.int64), self.findings)

    def patients_of(self, rows: Mask) -> int:
        """Number of patients who have a film in a mask."""
        return len(np.unique(self.patients[rows]))
