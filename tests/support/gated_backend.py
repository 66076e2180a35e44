"""A backend that a test holds at a gate, and what tests of the batcher ask of it."""

import asyncio
import threading

import numpy as np

from cxr.modeling.outputs import Outputs
from cxr.serving.engine import Backend

SIDE = 64
POISON = 255
LONG = 30.0


class Gated(Backend):
    """Answers each film with its own grey level, plus `shift`; passes wait at a gate that a test opens and shuts."""

    name = "gated"

    def __init__(self, bundle, *, side=SIDE, shift=0, opened=True):
        super().__init__(bundle, device="cpu", precision="f32", side=side, findings=3)
        self.shift = shift
        self.passes = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()
        self.released = False
        if opened:
            self.gate.set()

    def _forward(self, films):
        self.started.release()
        assert self.gate.wait(LONG)
        assert not self.released
        self.passes.append(len(films))
        values = films[:, 0, 0].astype(np.float32)
        if POISON in values:
            raise RuntimeError("out of memory")
        shapes = ((3,), (8,), (3, 2, 2))
        return Outputs(*(np.stack([np.full(shape, value + self.shift) for value in values]) for shape in shapes))

    def _release(self):
        self.released = True

    async def pass_started(self):
        assert await asyncio.to_thread(self.started.acquire, timeout=LONG)


def film(value):
    return np.full((SIDE, SIDE), value, np.uint8)


def ask(batcher, values):
    return [asyncio.create_task(batcher.infer(film(value))) for value in values]


async def turns(count=5):
    """Let tasks go as far as they can without the inference thread."""
    for _ in range(count):
        await asyncio.sleep(0)


async def answers(tasks):
    """The grey level that each film was answered with; logits, embedding and maps must agree."""
    classified = await asyncio.wait_for(asyncio.gather(*tasks), LONG)
    for one in classified:
        assert (one.logits.shape, one.embedding.shape, one.maps.shape) == ((3,), (8,), (3, 2, 2))
        assert len({*one.logits, *one.embedding, *one.maps.ravel()}) == 1
    return [int(one.logits[0]) for one in classified]
