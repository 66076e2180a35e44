"""Why a film has no result though nothing is wrong with it.

CxrError
└── ServingError
    ├── QueueFull       too many films wait; come back later
    ├── BackendClosed   the backend, or the batcher before it, has been closed
    └── ForwardFailed   the forward pass of this film's batch failed
"""

from cxr.errors import ServingError


class QueueFull(ServingError):  # noqa: N818 - a state of the queue, as in the standard library
    """Too many films wait for a forward pass.

    Attributes:
        retry_after: seconds after which those that wait now will have been served.
    """

    def __init__(self, *, waiting: int, retry_after: float) -> None:
        super().__init__(f"fewer than {waiting} films must wait; try again in {retry_after:.2g} s")
        self.retry_after = retry_after


class BackendClosed(ServingError):  # noqa: N818 - a state
    """The backend, or the batcher before it, has been closed; ask the one that replaced it."""


class ForwardFailed(ServingError):  # noqa: N818 - named for what happened, like its siblings
    """A forward pass failed. It says nothing about the film; the cause is in `__cause__`."""
