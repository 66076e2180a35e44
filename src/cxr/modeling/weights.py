"""ImageNet weights to start from: a file, torchvision's own loader, or none with a notice."""

import logging
import re
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision import models

from cxr.contracts.files import file_digest
from cxr.contracts.recipe import ModelRecipe
from cxr.errors import TrainingError
from cxr.modeling.network import Network, grey_stem

logger = logging.getLogger(__name__)

# torchvision's published DenseNet weights were saved under an older naming: "denselayer1.norm.1" is now "norm1".
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


def initialise(network: Network, model: ModelRecipe, weights: Path | None) -> str:
    """Load initial weights into `network.features` and say which: "imagenet", a file's SHA-256 or "random".

    Args:
        network: built for `model`.
        model: names the architecture; `weights: none` in it keeps the random start unless a file is given.
        weights: a state dict of the architecture as torchvision saves it (.pth) or as safetensors.

    Raises:
        TrainingError: the file is missing, unreadable or of another architecture.
    """
    if weights is not None:
        _load(network, _state_from(weights), origin=str(weights))
        return file_digest(weights)
    if model.weights == "none":
        return "random"
    try:
        state = models.get_model_weights(model.architecture).DEFAULT.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        logger.warning(
            "ImageNet weights of %s cannot be fetched (%s): training starts from random weights. "
            "Give a file with --weights, or set model.weights=none to silence this.",
            model.architecture,
            error,
        )
        return "random"
    _load(network, state, origin=f"torchvision's weights of {model.architecture}")
    return "imagenet"


def _state_from(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a file that is no state dict
        raise TrainingError(
            f"--weights must be a readable state dict (.pth or .safetensors), {path}: {error}"
        ) from error
    return state


def _load(network: Network, state: dict[str, Tensor], *, origin: str) -> None:
    """Load a torchvision classifier's backbone, or one of our own checkpoints' whole `features.`."""
    renamed = {_OLD_DENSENET.sub(r"\1\2", name).removeprefix("features."): tensor for name, tensor in state.items()}
    wanted = network.features.state_dict()
    # files older than PyTorch 0.4.1 do not count batches
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith("num_batches_tracked")}
    renamed = counters | renamed
    stem = next(iter(wanted))
    if stem in renamed and renamed[stem].shape[1] == 3:
        renamed[stem] = grey_stem(renamed[stem])
    missing = [name for name in wanted if name not in renamed]
    wrong = [name for name in wanted if name in renamed and renamed[name].shape != wanted[name].shape]
    if missing or wrong:
        raise TrainingError(
            f"{origin} must hold the weights of this architecture; "
            f"{len(missing)} tensors are missing (first: {missing[:1]}), "
            f"{len(wrong)} have another shape (first: {wrong[:1]})"
        )
    network.features.load_state_dict({name: renamed[name] for name in wanted})
