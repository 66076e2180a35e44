"""What the batcher keeps of a film that waits, and what it says of one that has run."""

import asyncio
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.modeling.outputs import Outputs
from cxr.serving.engine.failures import ForwardFailed

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Classified:
    """The outputs for one film, and how they came about.

    Attributes:
        logits: [c].
        embedding: [d].
        maps: activation maps [c, h, w].
        queued: from the film's arrival to the start of its forward pass, seconds.
        forward: of the forward pass, seconds.
        batch: films in it.
    """

    logits: Array
    embedding: Array
    maps: Array
    queued: float
    forward: float
    batch: int

    @property
    def row(self) -> Outputs:
        """The same outputs as of a batch of one film."""
        return Outputs(self.logits[None], self.embedding[None], self.maps[None])


@dataclass(frozen=True, kw_only=True)
class BatchTimes:
    """One forward pass.

    Attributes:
        films: in it.
        queued: from each film's arrival to the start of the pass, seconds.
        forward: of the pass, seconds.
    """

    films: int
    queued: tuple[float, ...]
    forward: float


@dataclass(eq=False)
class Waiting:
    """A film that has been handed over.

    Attributes:
        film: uint8 [S, S].
        result: for the caller; cancelled when the caller has gone.
        arrived: `time.perf_counter()` then.
        taken: it is in a forward pass, or has been.
    """

    film: npt.NDArray[np.uint8]
    result: "asyncio.Future[Classified]"
    arrived: float
    taken: bool = False

    def give(self, outputs: Outputs, row: int, *, started: float, forward: float, batch: int) -> None:
        """Hand a row of the outputs to the caller, if it is still there."""
        if self.result.done():
            return
        if outputs.maps is None:
            raise AssertionError("maps were asked for")
        classified = Classified(
            logits=outputs.logits[row],
            embedding=outputs.embedding[row],
            maps=outputs.maps[row],
            queued=started - self.arrived,
            forward=forward,
            batch=batch,
        )
        self.result.set_result(classified)

    def fail(self, cause: BaseException, *, batch: int) -> None:
        """Tell the caller that the pass of its batch failed, if it is still there."""
        if not self.result.done():
            error = ForwardFailed(
                f"a forward pass must give results, one of {batch} films failed with {type(cause).__name__}; try again"
            )
            error.__cause__ = cause
            self.result.set_exception(error)
