"""The first forward passes, before anybody waits for one."""

import logging
import time

import numpy as np

from cxr.errors import ServingError
from cxr.serving.engine.backend import Backend

logger = logging.getLogger(__name__)


def warm_up(backend: Backend, *, batch: int = 16) -> None:
    """Run one film and then a full batch: engines choose kernels and take their memory on the first pass of a size.

    Args:
        backend: to warm up.
        batch: films of the largest pass that will be asked for.

    Raises:
        ServingError: the outputs are not finite numbers; the backend must not serve.
    """
    started = time.perf_counter()
    ramp = np.linspace(0, 255, backend.side, dtype=np.uint8)
    film = np.broadcast_to(ramp, (backend.side, backend.side))
    for films in dict.fromkeys((1, batch)):
        outputs = backend.infer(np.repeat(film[None], films, axis=0), maps=True)
        if not all(output is not None and np.isfinite(output).all() for output in outputs):
            raise ServingError(
                f"{backend.name} on {backend.device} must give finite outputs, gave others for a grey ramp; "
                "choose another backend"
            )
    logger.info(
        "backend warm",
        extra={
            "backend": backend.name,
            "device": backend.device,
            "precision": backend.precision,
            "seconds": round(time.perf_counter() - started, 3),
        },
    )
