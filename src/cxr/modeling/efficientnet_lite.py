"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019) without squeeze-and-excitation, as in Google's TPU models.

Its ImageNet weights come as a Python package, so that training starts from them where no download site can be reached.
Modules are named and paddings laid as there, or the weights would not fit.
"""

from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 1280
"""Number of features."""
_STEM = 32
_EPSILON = 1e-3


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
"""EfficientNet-B0's, all of whose settings Lite0 keeps."""


class SameConv2d(nn.Conv2d):
    """A convolution whose output is the input's size over its stride, rounded up, padded as TensorFlow's "SAME"."""

    def forward(self, films: Tensor) -> Tensor:
        """From [n, i, h, w] to [n, o, ⌈h / stride⌉, ⌈w / stride⌉]."""
        top, bottom = _padding(films.shape[2], self.kernel_size[0], self.stride[0])
        left, right = _padding(films.shape[3], self.kernel_size[1], self.stride[1])
        if (top, left) == (bottom, right):
            return F.conv2d(films, self.weight, None, self.stride, (top, left), groups=self.groups)
        return F.conv2d(F.pad(films, (left, right, top, bottom)), self.weight, None, self.stride, groups=self.groups)


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Before and after; the odd pixel comes after."""
    whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return whole // 2, whole - whole // 2


class InvertedBottleneck(nn.Module):
    """Widen, filter every channel by itself, narrow; added to what came in where the shapes agree."""

    def __init__(self, channels: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self.widens = stage.expansion > 1
        self.adds = stride == 1 and channels == stage.channels
        if self.widens:
            self.expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.depthwise_conv = SameConv2d(wide, wide, stage.kernel, stride, groups=wide, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.project_conv = nn.Conv2d(wide, stage.channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stage.channels, eps=_EPSILON)

    def forward(self, films: Tensor) -> Tensor:
        """From [n, i, h, w] to [n, o, h / stride, w / stride]."""
        wide = F.relu6(self.bn0(self.expand_conv(films))) if self.widens else films
        filtered = F.relu6(self.bn1(self.depthwise_conv(wide)))
        narrow: Tensor = self.bn2(self.project_conv(filtered))
        return narrow + films if self.adds else narrow


def efficientnet_lite0(output_stride: int) -> tuple[nn.Sequential, int]:
    """The feature layers (RGB stem) with random weights, and the number of features.

    Args:
        output_stride: 16 leaves out the last halving.
    """
    blocks: list[nn.Module] = []
    channels, reached = _STEM, 2
    for stage in _STAGES:
        for number in range(stage.blocks):
            stride = stage.stride if number == 0 and reached * stage.stride <= output_stride else 1
            reached *= stride
            blocks.append(InvertedBottleneck(channels, stage, stride))
            channels = stage.channels
    features = nn.Sequential(
        OrderedDict(
            conv_stem=SameConv2d(3, _STEM, 3, 2, bias=False),
            bn0=nn.BatchNorm2d(_STEM, eps=_EPSILON),
            relu0=nn.ReLU6(),
            blocks=nn.Sequential(*blocks),
            conv_head=nn.Conv2d(channels, WIDTH, 1, bias=False),
            bn1=nn.BatchNorm2d(WIDTH, eps=_EPSILON),
            relu1=nn.ReLU6(),
        )
    )
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return features, WIDTH
