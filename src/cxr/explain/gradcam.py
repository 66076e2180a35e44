"""An independent witness: does captum's Grad-CAM draw the maps that the network gives?"""

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr.modeling.network import Network, Prediction


def gradcam(network: Network, films: Tensor, finding: int) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) on the last feature map, before its final ReLU: [n, h, w].

    Args:
        network: in evaluation mode.
        films: float32 [n, 1, S, S] in 0..1.
        finding: position of the logit that is explained.
    """
    from captum.attr import LayerGradCam

    logits: Callable[[Tensor], Tensor] = lambda batch: cast(Prediction, network(batch)).logits  # noqa: E731
    method = LayerGradCam(logits, network.features[-1])
    return cast(Tensor, method.attribute(films, target=finding)).squeeze(1).detach()


def least_cosine(network: Network, films: npt.NDArray[np.uint8]) -> float:
    """Least cosine between the network's own maps and captum's, over films and findings; 1 is full agreement.

    Both are compared on the film, where a network that frames the lungs lays its maps.

    Args:
        network: in evaluation mode.
        films: uint8 [n, S, S].
    """
    device = next(network.parameters()).device
    batch = torch.from_numpy(films).to(device).unsqueeze(1).float() / 255
    with torch.inference_mode():
        maps = network(batch).maps
    cosines = [
        _cosine(maps[:, finding], gradcam(network, batch, finding), network, batch) for finding in range(maps.shape[1])
    ]
    return float(torch.stack(cosines).min())


@torch.inference_mode()
def _cosine(own: Tensor, witness: Tensor, network: Network, films: Tensor) -> Tensor:
    laid = network.on_film(witness.unsqueeze(1), films)
    return torch.cosine_similarity(own.flatten(1), laid.flatten(1), dim=1).min()
