"""Forward passes over many films, as numpy arrays."""

from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cxr.modeling.outputs import Outputs


def choose_device(name: str | None) -> torch.device:
    """The device named, or the first GPU, or the CPU."""
    if name is not None:
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def whole_float32() -> AbstractContextManager[None]:
    """Convolutions in float32 as it is: cuDNN rounds to TF32 otherwise, and thresholds would not be those of a CPU."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


@torch.inference_mode()
def infer(
    network: nn.Module,
    films: npt.NDArray[np.uint8],
    *,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    maps: bool = False,
) -> Outputs:
    """Run `network` in evaluation mode over films.

    Args:
        network: gives a `Prediction`; its mode is restored afterwards.
        films: uint8 [n, S, S].
        batch_size: films per forward pass.
        device: where to run; the network's own when None.
        maps: also return the activation maps.
    """
    device = torch.device(device) if device is not None else next(network.parameters()).device
    was_training = network.training
    network.to(device).to(memory_format=torch.channels_last).eval()
    logits, embeddings, activations = [], [], []
    for start in range(0, len(films), batch_size):
        batch = torch.from_numpy(np.ascontiguousarray(films[start : start + batch_size])).to(device)
        with whole_float32():
            prediction = network(batch.unsqueeze(1).float() / 255)
        logits.append(prediction.logits.float().cpu().numpy())
        embeddings.append(prediction.embedding.float().cpu().numpy())
        if maps:
            activations.append(prediction.maps.float().cpu().numpy())
    network.train(was_training)
    return Outputs(np.concatenate(logits), np.concatenate(embeddings), np.concatenate(activations) if maps else None)
