"""What is compared of films: the columns that the tests look at, made alike from a reference and from events."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.contracts.events import PredictionEvent
from cxr.drift.reference import Floats, Projection, SeenFilms
from cxr.evaluation.calibration import softmax


@dataclass(frozen=True, eq=False, kw_only=True)
class WatchedFilms:
    """n films as the tests see them.

    Attributes:
        embedding: float32 [n, k], projected.
        distance: float32 [n], from the training films; None when the reference has none.
        decisions: int64 [n], position among the findings.
        confidence: float32 [n].
        statistics: float32 [n, s].
    """

    embedding: Floats
    distance: Floats | None
    decisions: npt.NDArray[np.int64]
    confidence: Floats
    statistics: Floats

    def __len__(self) -> int:
        return len(self.decisions)

    @classmethod
    def of_seen(cls, seen: SeenFilms, *, temperature: float) -> "WatchedFilms":
        """Films of a reference, with the temperature of its bundle."""
        probabilities = softmax(seen.logits, temperature=temperature)
        return cls(
            embedding=seen.embedding,
            distance=seen.distance,
            decisions=probabilities.argmax(axis=1).astype(np.int64),
            confidence=probabilities.max(axis=1).astype(np.float32),
            statistics=seen.statistics,
        )

    @classmethod
    def of_events(
        cls, events: Sequence[PredictionEvent], *, projection: Projection, findings: Sequence[str]
    ) -> "WatchedFilms":
        """Films of events that fit the bundle, see `fits`."""
        return cls(
            embedding=projection.project(np.stack([event.vector() for event in events])),
            distance=np.array([event.distance for event in events], np.float32),
            decisions=np.array([findings.index(event.decision) for event in events], np.int64),
            confidence=np.array([event.confidence for event in events], np.float32),
            statistics=np.array([event.statistics for event in events], np.float32),
        )

    def take(self, rows: npt.NDArray[np.int64]) -> "WatchedFilms":
        """The films at `rows`."""
        return WatchedFilms(
            embedding=self.embedding[rows],
            distance=None if self.distance is None else self.distance[rows],
            decisions=self.decisions[rows],
            confidence=self.confidence[rows],
            statistics=self.statistics[rows],
        )


def fits(event: PredictionEvent, *, features: int, findings: Sequence[str], statistics: int) -> bool:
    """Whether an event has the lengths and the findings of a bundle."""
    return (
        len(event.embedding) == 4 * features
        and event.probabilities.keys() == set(findings)
        and len(event.statistics) == statistics
    )
