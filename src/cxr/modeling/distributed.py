"""The processes that train one model together, as torchrun starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from cxr.modeling.inference import choose_device


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together; alone unless torchrun started it.

    Attributes:
        rank: 0 is the one that validates and writes.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def share(self, value: float) -> float:
        """The first process's value, on every process."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def processes(device: str | None) -> Iterator[tuple[Processes, torch.device]]:
    """Join the process group that torchrun describes in the environment, and leave it; alone without one.

    Yields this process's place and its device: the GPU of its local rank with nccl, or the CPU with gloo.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if world == 1:
        yield Processes(), chosen
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size()), chosen
    finally:
        distributed.destroy_process_group()
