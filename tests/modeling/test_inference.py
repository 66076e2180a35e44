import numpy as np
import torch
from torch import nn

from cxr.modeling.inference import infer
from cxr.modeling.network import Prediction


class Recording(nn.Module):
    """Notes whether convolutions may be rounded while it runs."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.rounded = []

    def forward(self, films):
        self.rounded.append(torch.backends.cudnn.allow_tf32)
        means = films.mean((1, 2, 3))[:, None] * self.weight
        return Prediction(means, films, means)


def test_what_is_measured_on_a_gpu_is_what_is_served():
    network, before = Recording(), torch.backends.cudnn.allow_tf32
    outputs = infer(network, np.full((3, 8, 8), 255, np.uint8), batch_size=2, maps=True)
    assert network.rounded == [False, False]
    assert torch.backends.cudnn.allow_tf32 == before
    np.testing.assert_array_equal(outputs.logits, np.ones((3, 1)))
