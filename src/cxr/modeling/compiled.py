"""Compiling a network's passes while it is trained: fewer kernels, and on a GPU one launch for all of them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cxr.contracts.recipe import Compiler
from cxr.errors import TrainingError
from cxr.modeling.network import Prediction

Pass = Callable[[Tensor], Prediction]


def compiled(network: nn.Module, compiler: Compiler, device: torch.device) -> Pass:
    """What computes as `network` does, with its weights and in its mode, through a compiler of torch.

    Compilation happens in the first pass, for the shape of that batch. What was compiled before in this process is
    forgotten: a search would otherwise reach the most variants that torch keeps, and go on uncompiled without a word.

    Args:
        network: gives a `Prediction`; in `DistributedDataParallel` or not.
        compiler: "none" gives `network` back; "inductor" writes fused kernels, and on a GPU launches them as one graph.
        device: where the network is.

    Raises:
        TrainingError: in the first pass, compilation failed.
    """
    if compiler == "none":
        return network
    from torch._dynamo.exc import TorchDynamoException

    torch.compiler.reset()
    faster: Pass = torch.compile(
        network,
        backend=compiler,
        mode="reduce-overhead" if device.type == "cuda" else None,
        dynamic=False,
        fullgraph=not isinstance(network, DistributedDataParallel),
    )

    def run(films: Tensor) -> Prediction:
        try:
            return faster(films)
        except TorchDynamoException as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise TrainingError(
                f"schedule.compiler: {compiler} failed ({reason}); inductor needs a C++ compiler (g++, or the one that "
                "CXX names) and Python's headers (python3-dev), on a GPU also Triton; choose none to train without"
            ) from error

    return run
