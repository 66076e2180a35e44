import os
import signal
import time
from functools import partial

import pytest
import torch
from torch import distributed

from cxr.errors import ContractError
from cxr.modeling.distributed import launch, own_processes, processes


@pytest.mark.parametrize(("gpus", "count"), [(0, 1), (1, 1), (4, 4)])
def test_a_training_has_a_process_for_each_gpu(monkeypatch, gpus, count):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert own_processes(None) == count
    assert own_processes("cuda:0") == 1, "the device that was asked for"
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert own_processes(None) == 1, "torchrun has started them"


def work(failing: int | None, error: str) -> tuple[int, int, float]:
    with processes("cpu") as (place, _):
        if place.rank == failing and error == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if place.rank == failing:
            raise (ContractError if error == "contract" else ValueError)("the film must be there, is not")
        total = torch.tensor(float(place.rank + 1))
        distributed.all_reduce(total)
    return place.rank, place.world, float(total)


def fails_slowly(error: str) -> None:
    try:
        work(0, error)
    except ValueError:
        time.sleep(3)
        raise


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


def test_processes_find_each_other_and_the_first_ones_answer_is_returned():
    assert launch(partial(work, None, ""), count=2) == (0, 2, 3.0)
    assert "WORLD_SIZE" not in os.environ


def test_the_error_of_a_process_comes_as_it_was_raised():
    with pytest.raises(ContractError, match=r"^the film must be there, is not$"):
        launch(partial(work, 1, "contract"), count=2)


def test_a_defect_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)a process of the training failed: Traceback.*in work.*ValueError"):
        launch(partial(work, 0, "defect"), count=2)


def test_what_was_raised_first_is_told_though_another_process_is_gone_before_it():
    """The one that raised takes its time to end; the other one must not take the loss of it for the cause."""
    with pytest.raises(RuntimeError, match=r"(?s)a process of the training failed: Traceback.*ValueError"):
        launch(partial(fails_slowly, "defect"), count=2)


def test_a_process_that_was_killed_is_told():
    """By its signal, or by the one that lost it where torch found that one gone first."""
    with pytest.raises(RuntimeError, match=r"(?s)a process of the training failed: .*(Signal 9|closed by peer)"):
        launch(partial(work, 0, "killed"), count=2)
