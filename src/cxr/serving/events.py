"""Sending prediction events to the drift sidecar. The predictor never waits for it: a full queue drops, and counts."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
import msgspec
import numpy as np
import numpy.typing as npt

from cxr.contracts.events import BATCH, PredictionEvent, encode_batch
from cxr.contracts.prediction import FilmPrediction
from cxr.serving.sidecar_client import sidecar_client

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 32
_TIMEOUT = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_TRY_AGAIN = frozenset({401, 408, 425, 429})


class EventCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the events of this process.

    Attributes:
        sent: that the sidecar took.
        dropped: the oldest ones, when the queue was full or the process ended.
        failed: that the sidecar refused, for example since it watches another bundle.
    """

    sent: int
    dropped: int
    failed: int


def prediction_event(
    prediction: FilmPrediction,
    *,
    request_id: str,
    embedding: npt.NDArray[np.float32],
    statistics: npt.NDArray[np.float32],
) -> PredictionEvent:
    """The event of a prediction made now.

    Args:
        prediction: the answer; the name of its file stays behind.
        request_id: the service's own id of the request.
        embedding: float32 [d].
        statistics: as `cxr.drift.statistics.image_statistics` gives them.
    """
    return PredictionEvent(
        request_id=request_id,
        time=datetime.now(UTC),
        bundle=prediction.bundle,
        embedding=embedding.astype("<f4").tobytes(),
        probabilities=prediction.probabilities,
        decision=prediction.decision,
        confidence=prediction.confidence,
        distance=prediction.distance,
        statistics=tuple(statistics.tolist()),
    )


class EventQueue:
    """A bounded queue and the task that empties it into the sidecar; used from one event loop.

    Attributes:
        enabled: there is a sidecar to send to; without one `offer` forgets what it is given.
    """

    def __init__(self, url: str | None, *, token: str | None = None, capacity: int = 1024) -> None:
        """Nothing is sent before `start`.

        Args:
            url: of the sidecar, without a path; None when there is none.
            token: that the sidecar asks for.
            capacity: most events that wait; beyond it the oldest are dropped.
        """
        self.enabled = url is not None
        self._url, self._token = url or "", token
        self._capacity = capacity
        self._waiting: deque[PredictionEvent] = deque()
        self._counts = EventCounts(sent=0, dropped=0, failed=0)
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def counts(self) -> EventCounts:
        """So far."""
        return self._counts

    @property
    def waiting(self) -> int:
        """Events in the queue, without those on their way."""
        return len(self._waiting)

    def offer(self, event: PredictionEvent) -> None:
        """Queue an event; never waits, never raises."""
        if not self.enabled or self._closing:
            return
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self._count(dropped=1)
        self._waiting.append(event)
        self._wake.set()

    def start(self) -> None:
        """Begin to send; within a running event loop."""
        if self.enabled and self._task is None:
            self._task = asyncio.create_task(self._run(), name="drift events")

    async def close(self, *, timeout: float = 2.0) -> None:
        """Take no more events, and give those that wait `timeout` seconds to leave."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._count(dropped=len(self._waiting))
        self._waiting.clear()

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        content = {"Content-Type": BATCH}
        async with sidecar_client(self._url, token=self._token, timeout=_TIMEOUT, headers=content) as client:
            while self._waiting or not self._closing:
                if not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                elif await self._send(client):
                    pause = _FIRST_PAUSE
                else:
                    await asyncio.sleep(pause * random.uniform(0.5, 1))
                    pause = min(pause * 2, _LONGEST_PAUSE)

    async def _send(self, client: httpx.AsyncClient) -> bool:
        """Send the oldest events; whether the sidecar answered for them."""
        batch = [self._waiting.popleft() for _ in range(min(_MOST_AT_ONCE, len(self._waiting)))]
        try:
            response = await client.post("/events", content=encode_batch(batch))
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        except httpx.HTTPError as error:
            return self._unsent(batch, type(error).__name__)
        if response.is_success:
            self._count(sent=len(batch))
        elif response.is_server_error or response.status_code in _TRY_AGAIN:
            return self._unsent(batch, str(response.status_code))
        else:
            self._count(failed=len(batch))
            logger.warning("the drift sidecar refused events", extra={"status": response.status_code})
        return True

    def _unsent(self, batch: Sequence[PredictionEvent], reason: str) -> bool:
        self._put_back(batch)
        logger.warning("the drift sidecar does not take events", extra={"reason": reason, "waiting": self.waiting})
        return False

    def _put_back(self, batch: Sequence[PredictionEvent]) -> None:
        kept = min(max(self._capacity - len(self._waiting), 0), len(batch))
        self._waiting.extendleft(reversed(batch[len(batch) - kept :]))
        self._count(dropped=len(batch) - kept)

    def _count(self, *, sent: int = 0, dropped: int = 0, failed: int = 0) -> None:
        counts = self._counts
        self._counts = EventCounts(
            sent=counts.sent + sent, dropped=counts.dropped + dropped, failed=counts.failed + failed
        )
