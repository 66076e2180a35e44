import pytest
import torch
from torch import nn
from torchvision import models

from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.errors import RecipeError
from cxr.modeling.network import ARCHITECTURES, build_network

PREPROCESSING = Preprocessing(size=64)


@pytest.mark.parametrize("architecture", ["densenet121", "resnet18", "resnet50", "efficientnet_lite0"])
def test_maps_average_to_the_logits(architecture):
    # in float64, where the two orders of summation agree whatever the random weights
    network = build_network(ModelRecipe(architecture=architecture), PREPROCESSING, 3).eval().double()
    logits, embedding, maps = network(torch.rand(2, 1, 64, 64, dtype=torch.float64))
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + network.head.bias, logits)
    assert embedding.shape == (2, network.head.in_features)
    assert maps.shape == (2, 3, 2, 2)


@pytest.mark.parametrize("architecture", ["densenet121", "resnet18", "resnet50", "efficientnet_lite0"])
def test_output_stride_16_doubles_the_map(architecture):
    network = build_network(ModelRecipe(architecture=architecture, output_stride=16), PREPROCESSING, 3).eval()
    assert network(torch.rand(1, 1, 64, 64)).maps.shape == (1, 3, 4, 4)


def test_features_end_in_a_relu_module_with_its_output():
    network = build_network(ModelRecipe(architecture="densenet121"), PREPROCESSING, 3).eval()
    assert isinstance(network.features[-1], nn.ReLU)
    assert (network.features(torch.rand(1, 1, 64, 64)) >= 0).all()


def test_a_grey_film_gives_what_the_rgb_network_gives_for_three_equal_channels():
    torch.manual_seed(0)
    theirs = models.resnet18(weights=None).eval()
    ours = build_network(ModelRecipe(architecture="resnet18"), Preprocessing(size=64, mean=0.0, std=1.0), 3).eval()
    state = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("fc.")}
    state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    ours.features.load_state_dict(state)
    film = torch.rand(1, 1, 64, 64)
    theirs.fc = nn.Identity()
    torch.testing.assert_close(ours(film).embedding, theirs(film.expand(1, 3, 64, 64)), rtol=1e-4, atol=1e-4)


def test_every_registered_name_but_lite0_is_torchvisions():
    assert set(ARCHITECTURES) - {"efficientnet_lite0"} <= set(models.list_models())


def test_unknown_architecture_names_the_known_ones():
    with pytest.raises(RecipeError, match=r"must be one of .*densenet121.* is 'vgg'"):
        build_network(ModelRecipe(architecture="vgg"), PREPROCESSING, 3)
