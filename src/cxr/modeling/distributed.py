"""The processes that train one model together, as torchrun starts them."""

import logging
import os
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed

from cxr import errors
from cxr.modeling.inference import choose_device

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

T = TypeVar("T")

_DEFECT = "defect"


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

    Yields this process's place and its device: the GPU of its local rank with nccl, or the CPU with gloo. A process
    that fails stays in the group until it ends: the others notice that it is gone after it has told why.
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
    yield Processes(distributed.get_rank(), distributed.get_world_size()), chosen
    distributed.destroy_process_group()


def own_processes(device: str | None) -> int:
    """How many processes a training started here should have: one for each GPU of this machine.

    One where a device is named, where there is one GPU or none, and where torchrun has started this process already.
    """
    if device is not None or "WORLD_SIZE" in os.environ:
        return 1
    return max(1, torch.cuda.device_count())


def launch(function: Callable[[], T], *, count: int) -> T:
    """Call a function in several processes of this machine as torchrun does, and return what the first one returns.

    They end with this process, whatever ends it. When one fails, the others are ended.

    Args:
        function: at the top level of a module, or `functools.partial` of one; it is pickled.
        count: of processes.

    Raises:
        CxrError: that one of the processes raised.
        RuntimeError: one failed otherwise; the message has its traceback.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
    )
    level = logging.getLogger().getEffectiveLevel()
    with tempfile.TemporaryDirectory() as folder:
        try:
            returned: dict[int, T] = elastic_launch(config, _run)(level, Path(folder), function)
        except ChildFailedError as error:
            raise _cause(Path(folder), error.get_first_failure()[1]) from error
    return returned[0]


def _run(level: int, folder: Path, function: Callable[[], T]) -> T:
    """What every process does; the first one logs as the process that started it does."""
    rank = os.environ["RANK"]
    logging.basicConfig(level=level if rank == "0" else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return function()
    except errors.CxrError as error:
        (folder / rank).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
    except Exception:
        (folder / rank).write_text(f"{_DEFECT}: {traceback.format_exc()}", encoding="utf-8")
        raise


def _cause(folder: Path, gone: "ProcessFailure") -> Exception:
    """Why a training of several processes failed.

    A process that loses another one fails as well, and may be the first that torch finds gone: what was raised first is
    the cause, unless it is a defect and torch tells of a process that a signal ended.

    Args:
        folder: of what the processes raised, a file for each.
        gone: the process that torch found gone first.
    """
    raised = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    name, _, message = raised[0].read_text(encoding="utf-8").partition(": ") if raised else (_DEFECT, "", gone.message)
    if name != _DEFECT:
        kind: type[errors.CxrError] = getattr(errors, name, errors.TrainingError)
        return kind(message)
    return RuntimeError(f"a process of the training failed: {gone.message if gone.exitcode < 0 else message}")
