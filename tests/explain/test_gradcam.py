import numpy as np
import pytest
import torch
from torch import nn

from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.explain.gradcam import gradcam, least_cosine
from cxr.imaging.phantom import draw_phantom
from cxr.modeling.network import build_network


def films(side=64, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


@pytest.mark.parametrize(("architecture", "stride"), [("densenet121", 32), ("resnet18", 16)])
def test_captum_draws_the_maps_that_the_network_gives(architecture, stride):
    torch.manual_seed(0)
    recipe = ModelRecipe(architecture=architecture, output_stride=stride)
    network = build_network(recipe, Preprocessing(size=64), 3).eval()
    assert least_cosine(network, films()) > 0.999


def test_a_network_that_frames_the_lungs_lays_the_same_maps_on_the_film():
    torch.manual_seed(0)
    recipe = ModelRecipe(architecture="resnet18", lung_frame=64)
    network = build_network(recipe, Preprocessing(size=96), 3).eval()
    drawn = [draw_phantom(seed=seed, finding="Pneumonia", side=96).film for seed in range(3)]
    assert least_cosine(network, np.stack(drawn)) > 0.999


def test_maps_that_are_not_the_evidence_are_noticed():
    torch.manual_seed(0)
    network = build_network(ModelRecipe(architecture="resnet18", output_stride=16), Preprocessing(size=64), 3).eval()

    class Liar(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = network.features
            self.inner = network
            self.on_film = network.on_film

        def forward(self, batch):
            prediction = self.inner(batch)
            return prediction._replace(maps=prediction.maps.flip(1))

    assert least_cosine(Liar(), films()) < 0.9


def test_grad_cam_is_the_gradient_weighted_feature_map():
    torch.manual_seed(0)
    network = build_network(ModelRecipe(architecture="resnet18"), Preprocessing(size=64), 3).eval()
    batch = torch.rand(2, 1, 64, 64)
    features = network.features((batch - network.mean) / network.std).detach().requires_grad_()
    network.head(features.mean(dim=(2, 3)))[:, 1].sum().backward()
    expected = (features.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1)
    torch.testing.assert_close(gradcam(network, batch, 1), expected.detach())
