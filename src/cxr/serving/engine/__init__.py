"""Running the graph of a bundle: backends behind one interface, and the batcher that shares one among requests.

Importing this package loads no inference engine; opening a backend loads the one that is opened, and only that.
"""

from cxr.serving.engine.backend import Backend, Precision
from cxr.serving.engine.batch import BatchTimes, Classified
from cxr.serving.engine.batcher import Batcher
from cxr.serving.engine.choose import BackendName, open_backend
from cxr.serving.engine.failures import BackendClosed, ForwardFailed, QueueFull
from cxr.serving.engine.warm import warm_up

__all__ = [
    "Backend",
    "BackendClosed",
    "BackendName",
    "BatchTimes",
    "Batcher",
    "Classified",
    "ForwardFailed",
    "Precision",
    "QueueFull",
    "open_backend",
    "warm_up",
]
