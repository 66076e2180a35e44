"""The classifier: a convolutional backbone, global average pooling and a linear head, with its activation maps.

With average pooling and a linear head, the logits are the spatial means of the head-weighted feature maps (plus the
bias), so the class-activation maps (Zhou et al. 2016) cost one 1×1 convolution and equal Grad-CAM (Selvaraju et al.
2017) on the last feature map up to a constant factor. They are an output of every forward pass.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.errors import RecipeError
from cxr.modeling.efficientnet_lite import efficientnet_lite0
from cxr.modeling.lung_frame import LungFrame


class Prediction(NamedTuple):
    """What one forward pass gives for n films, c findings, d features and an h × w map."""

    logits: Tensor
    """[n, c]"""
    embedding: Tensor
    """[n, d], the pooled features that the head reads."""
    maps: Tensor
    """[n, c, h, w], evidence for each finding by place on the film; without a frame their means are the logits less the
    bias."""


class Network(nn.Module):
    """Backbone, pooling and head.

    Attributes:
        features: [n, 1, S, S] to [n, d, h, w]; its last module is a ReLU, so that Grad-CAM can hook its output.
        head: d features to c findings.
        lungs: cuts out what `features` sees; None shows it the whole film.
    """

    def __init__(
        self,
        features: nn.Sequential,
        width: int,
        findings: int,
        *,
        dropout: float,
        mean: float,
        std: float,
        lungs: LungFrame | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, findings)
        self.mean = mean
        self.std = std
        self.lungs = lungs

    def forward(self, films: Tensor) -> Prediction:
        """Classify films: float32 [n, 1, S, S], grey levels 0..1."""
        glimpse, frame = self.see(films)
        features = self.features(glimpse)
        embedding = features.mean(dim=(2, 3))
        logits = self.head(self.dropout(embedding))
        maps = F.conv2d(features, self.head.weight[:, :, None, None])
        return Prediction(logits, embedding, _laid(maps, frame))

    def see(self, films: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the backbone is given of films [n, 1, S, S], and where that lies on them, as `LungFrame` says it."""
        if self.lungs is None:
            return (films - self.mean) / self.std, None
        return self.lungs(films)  # type: ignore[no-any-return]

    def on_film(self, maps: Tensor, films: Tensor) -> Tensor:
        """Maps [n, c, h, w] of what the backbone sees of films [n, 1, S, S], laid where that is on the films."""
        return _laid(maps, self.see(films)[1])


def _laid(maps: Tensor, frame: Tensor | None) -> Tensor:
    return maps if frame is None else LungFrame.on_film(maps, frame, 2 * maps.shape[-1])


Backbone = Callable[[int], tuple[nn.Sequential, int]]
"""From an output stride to the feature layers (RGB stem, as torchvision names them) and the number of features."""


def _densenet(builder: Callable[..., models.DenseNet]) -> Backbone:
    def build(output_stride: int) -> tuple[nn.Sequential, int]:
        network = builder(weights=None)
        features = cast(nn.Sequential, network.features)
        if output_stride == 16:
            cast(nn.Module, features.transition3).pool = nn.Identity()
        return features, network.classifier.in_features

    return build


def _resnet(builder: Callable[..., models.ResNet]) -> Backbone:
    def build(output_stride: int) -> tuple[nn.Sequential, int]:
        network = builder(weights=None)
        width = network.fc.in_features
        if output_stride == 16:
            _undo_stride(network.layer4)
        layers = [(name, layer) for name, layer in network.named_children() if name not in ("avgpool", "fc")]
        features = nn.Sequential()
        for name, layer in layers:
            features.add_module(name, layer)
        return features, width

    return build


def _undo_stride(layer: nn.Module) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)


ARCHITECTURES: dict[str, Backbone] = {
    "densenet121": _densenet(models.densenet121),
    "densenet169": _densenet(models.densenet169),
    "densenet201": _densenet(models.densenet201),
    "efficientnet_lite0": efficientnet_lite0,
    "resnet18": _resnet(models.resnet18),
    "resnet34": _resnet(models.resnet34),
    "resnet50": _resnet(models.resnet50),
}
"""The one registry of architectures; each name but Lite0's is torchvision's, so that its ImageNet weights fit."""


def build_network(model: ModelRecipe, preprocessing: Preprocessing, findings: int) -> Network:
    """Make a network with random weights from torch's global generator; raises `RecipeError` for an unknown name."""
    if model.architecture not in ARCHITECTURES:
        raise RecipeError(f"model.architecture must be one of {sorted(ARCHITECTURES)}, is {model.architecture!r}")
    features, width = ARCHITECTURES[model.architecture](model.output_stride)
    _one_channel_stem(features)
    features.add_module("relu_last", nn.ReLU())
    return Network(
        features,
        width,
        findings,
        dropout=model.dropout,
        mean=preprocessing.mean,
        std=preprocessing.std,
        lungs=LungFrame(model.lung_frame, preprocessing.size) if model.lung_frame else None,
    )


def _one_channel_stem(features: nn.Sequential) -> None:
    stem = cast(nn.Conv2d, features[0])
    grey = type(stem)(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)  # type: ignore[arg-type]
    grey.weight = nn.Parameter(grey_stem(stem.weight))
    features[0] = grey


def grey_stem(weight: Tensor) -> Tensor:
    """Weights of an RGB stem [o, 3, k, k] for grey films [o, 1, k, k]: three equal channels add up."""
    return weight.detach().sum(dim=1, keepdim=True)
