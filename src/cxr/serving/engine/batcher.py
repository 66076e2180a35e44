"""Sharing one backend among requests: films that wait together run together, and a lone one is never kept waiting.

Nothing is collected on purpose while the backend runs: whatever has arrived by the time it is free makes the next
batch, so that batches grow with the load by themselves. Only when the backend is free and more films are known to be
on their way (`Batcher.begin`) does a film wait for company, for `max_wait` at most.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import numpy.typing as npt

from cxr.modeling.outputs import Outputs
from cxr.serving.engine.backend import Backend
from cxr.serving.engine.batch import BatchTimes, Classified, Waiting
from cxr.serving.engine.failures import BackendClosed, QueueFull

_UNMEASURED = 1.0
_RECENT = 0.2


class Batcher:
    """A backend with a queue before it. Everything but the forward passes happens in one event loop.

    Attributes:
        backend: that runs the films.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        max_batch: int = 16,
        max_wait: float = 0.003,
        max_queue: int = 64,
        observe: Callable[[BatchTimes], None] | None = None,
    ) -> None:
        """Take over an open backend; `close` closes it.

        Args:
            backend: that runs the films.
            max_batch: films of one forward pass.
            max_wait: longest that a film waits for others while the backend is free, seconds.
            max_queue: films that may wait.
            observe: told of every forward pass that succeeds, in the event loop, after its films have their results.
        """
        if max_batch < 1 or max_queue < 1:
            raise ValueError(f"max_batch and max_queue must be at least 1, are {max_batch} and {max_queue}")
        self.backend = backend
        self._max_batch, self._max_wait, self._max_queue = max_batch, max_wait, max_queue
        self._observe = observe
        self._waiting: deque[Waiting] = deque()
        self._expected = 0
        self._running = False
        self._turn: asyncio.Handle | None = None
        self._seconds_per_film: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._films = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._ending: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Announce a film that is being decoded; `done` must follow, whatever becomes of it."""
        self._expected += 1

    def done(self) -> None:
        """Take back one announcement: the film is handed over now, or will never be."""
        self._expected -= 1
        if not self._expected:
            self._look()

    def expected(self) -> int:
        """Films that have been announced and are still being decoded."""
        return self._expected

    async def infer(self, film: npt.NDArray[np.uint8]) -> Classified:
        """Run one film, together with those that wait. Cancelling the call gives its place in the queue away.

        Args:
            film: uint8 [side, side], as `cxr.imaging.preprocess.network_input` gives it. Not copied: leave it alone.

        Raises:
            ValueError: the film has another type or shape.
            QueueFull: at once, when `max_queue` films wait.
            ForwardFailed: the pass that this film was in failed; other passes are not touched by it.
            BackendClosed: the batcher has been closed.
        """
        if self._ending is not None:
            raise BackendClosed("the batcher must be open to run films, it has been closed; ask the one in its place")
        self.backend.check(film[None])
        if len(self._waiting) >= self._max_queue:
            raise QueueFull(waiting=self._max_queue, retry_after=self._clearing_time())
        waiting = Waiting(film, asyncio.get_running_loop().create_future(), time.perf_counter())
        with self._counted():
            self._waiting.append(waiting)
            self._look()
            try:
                return await waiting.result
            finally:
                if not waiting.taken:
                    self._waiting.remove(waiting)

    async def close(self) -> None:
        """Refuse films from now on, end those accepted before, and close the backend; again waits for the same end."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            await self._unused.wait()
            # in the inference thread: a pass whose films have all been cancelled may still be under way there
            await asyncio.get_running_loop().run_in_executor(self._thread, self.backend.close)
        finally:
            self._thread.shutdown()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count one film until the block ends."""
        self._films += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._films -= 1
            if not self._films:
                self._unused.set()

    def _look(self, delay: float = 0.0) -> None:
        """Look at the queue after `delay`; without one, when this turn of the loop is over, so that films go together.

        A look that was planned for later is replaced.
        """
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._waiting and not self._running:
            loop = asyncio.get_running_loop()
            self._turn = loop.call_later(delay, self._start) if delay else loop.call_soon(self._start)

    def _start(self) -> None:
        """Start a pass, unless there is reason to wait for company."""
        self._turn = None
        if not self._waiting or self._running:
            return
        pause = self._pause()
        if pause > 0:
            self._look(pause)
            return
        batch = self._take()
        self._running = True
        films = [waiting.film for waiting in batch]
        passing = asyncio.get_running_loop().run_in_executor(self._thread, _forward, self.backend, films)
        passing.add_done_callback(partial(self._finish, batch))

    def _pause(self) -> float:
        if not self._expected or len(self._waiting) >= self._max_batch:
            return 0.0
        return self._waiting[0].arrived + self._max_wait - time.perf_counter()

    def _take(self) -> list[Waiting]:
        """The next batch: the films that have waited longest."""
        batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
        for waiting in batch:
            waiting.taken = True
        return batch

    def _finish(self, batch: list[Waiting], passing: "asyncio.Future[tuple[Outputs, float, float]]") -> None:
        self._running = False
        self._start()
        cause = passing.exception()
        if cause is not None:
            for waiting in batch:
                waiting.fail(cause, batch=len(batch))
            return
        outputs, started, forward = passing.result()
        for row, waiting in enumerate(batch):
            waiting.give(outputs, row, started=started, forward=forward, batch=len(batch))
        self._measure(forward / len(batch))
        if self._observe is not None:
            queued = tuple(started - waiting.arrived for waiting in batch)
            self._observe(BatchTimes(films=len(batch), queued=queued, forward=forward))

    def _measure(self, seconds_per_film: float) -> None:
        before = seconds_per_film if self._seconds_per_film is None else self._seconds_per_film
        self._seconds_per_film = before + _RECENT * (seconds_per_film - before)

    def _clearing_time(self) -> float:
        return _UNMEASURED if self._seconds_per_film is None else self._seconds_per_film * len(self._waiting)


def _forward(backend: Backend, films: list[npt.NDArray[np.uint8]]) -> tuple[Outputs, float, float]:
    started = time.perf_counter()
    outputs = backend.infer(np.stack(films), maps=True)
    return outputs, started, time.perf_counter() - started
