import pytest
import torch

from cxr.modeling.efficientnet_lite import WIDTH, SameConv2d, efficientnet_lite0


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "sums"),
    [
        # ones on 1, 2, 3, …: TensorFlow's "SAME" puts the odd pixel of padding after the film
        (4, 3, 2, [6.0, 7.0]),
        (5, 3, 2, [3.0, 9.0, 9.0]),
        (4, 5, 2, [10.0, 9.0]),
        (3, 3, 1, [3.0, 6.0, 5.0]),
    ],
)
def test_padding_is_tensorflows(size, kernel, stride, sums):
    layer = SameConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(layer.weight)
    film = torch.zeros(1, 1, size, size)
    film[0, 0, 0] = torch.arange(1, size + 1)
    assert layer(film)[0, 0, 0].tolist() == sums


def test_features_are_those_of_lite0():
    features, width = efficientnet_lite0(32)
    assert width == WIDTH == 1280
    # 4,652,008 with ImageNet's head of 1,281,000 (the paper's 4.7 million)
    assert sum(tensor.numel() for tensor in features.parameters()) == 4_652_008 - 1_281_000
    assert features(torch.rand(1, 3, 96, 96)).shape == (1, 1280, 3, 3)


def test_an_output_stride_of_16_leaves_out_the_last_halving():
    assert efficientnet_lite0(16)[0](torch.rand(1, 3, 96, 96)).shape == (1, 1280, 6, 6)
