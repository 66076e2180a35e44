import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.domain import TAXONOMY
from cxr.imaging.phantom import draw_phantom
from cxr.modeling.export import check_onnx, export_onnx
from cxr.modeling.lung_frame import LungFrame
from cxr.modeling.network import build_network

SIDE = 96


@pytest.fixture(scope="module")
def phantoms():
    return [draw_phantom(seed=seed, finding=TAXONOMY.findings[seed % 3], side=SIDE) for seed in range(24)]


@pytest.fixture(scope="module")
def films(phantoms):
    return torch.from_numpy(np.stack([phantom.film for phantom in phantoms])).unsqueeze(1).float() / 255


def framing(side=48, film_side=SIDE, **given):
    return LungFrame(side, film_side, **given).eval()


def box(lungs):
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / len(lungs)


def overlap(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inside = np.prod(np.maximum(0, high - low))
    return inside / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - inside)


def test_the_frame_lies_around_the_lungs(phantoms, films):
    frames = framing()(films).frame.numpy()
    overlaps = [overlap(frame, box(phantom.lungs)) for frame, phantom in zip(frames, phantoms, strict=True)]
    assert np.median(overlaps) > 0.7
    assert min(overlaps) > 0.45


def test_what_lies_at_the_edge_of_the_film_hardly_moves_the_frame(films):
    marked = films.clone()
    marked[:, :, -10:, :30] = 1.0
    marked[:, :, :8, -30:] = 0.0
    plain, changed = framing()(films).frame, framing()(marked).frame
    assert float((plain - changed).abs().median()) < 0.02


def test_a_glimpse_has_one_size_mean_and_spread(films):
    glimpse = framing()(films).glimpse
    assert glimpse.shape == (len(films), 1, 48, 48)
    torch.testing.assert_close(glimpse.mean(dim=(1, 2, 3)), torch.zeros(len(films)), atol=1e-4, rtol=0)
    assert bool(((glimpse.std(dim=(1, 2, 3)) > 0.7) & (glimpse.std(dim=(1, 2, 3)) < 1.05)).all())


@settings(max_examples=15)
@given(gain=st.floats(0.5, 1.0), shift=st.floats(0, 0.3))
def test_brightness_and_contrast_do_not_show(films, gain, shift):
    plain, changed = framing()(films), framing()(films * gain * 0.7 + shift)
    assert float((plain.frame - changed.frame).abs().max()) < 0.03
    assert float((plain.glimpse - changed.glimpse).abs().mean()) < 0.12


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_film_of_one_level_has_a_frame_and_finite_values(level):
    framed = framing()(torch.full((2, 1, SIDE, SIDE), level))
    assert bool(framed.glimpse.isfinite().all())
    left, top, right, bottom = framed.frame.T
    assert bool(((right - left > 0.2) & (bottom - top > 0.2)).all())
    assert float(framed.frame.min()) >= 0
    assert float(framed.frame.max()) <= 1


def test_only_training_jitters(films):
    lungs = framing(jitter=0.1)
    torch.testing.assert_close(lungs(films).frame, lungs(films).frame)
    lungs.train()
    assert float((lungs(films).frame - lungs(films).frame).abs().max()) > 0.005


def test_maps_lie_where_the_frame_was():
    maps = torch.ones(1, 2, 4, 4)
    laid = LungFrame.on_film(maps, torch.tensor([[0.25, 0.5, 0.75, 1.0]]), 16)
    expected = torch.zeros(1, 2, 16, 16)
    expected[:, :, 8:, 4:12] = 1
    torch.testing.assert_close(laid, expected)


def test_the_locator_is_kept_with_the_network_and_never_learns(films):
    network = build_network(
        ModelRecipe(architecture="resnet18", weights="none", lung_frame=48), Preprocessing(size=SIDE), 3
    ).train()
    network(films[:4]).logits.sum().backward()
    locator = {name: tensor for name, tensor in network.named_parameters() if name.startswith("lungs.")}
    assert locator
    assert all(parameter.grad is None for parameter in locator.values())
    assert set(locator) <= set(network.state_dict())


def test_a_network_without_a_frame_has_the_weights_it_always_had():
    network = build_network(ModelRecipe(architecture="resnet18", weights="none"), Preprocessing(size=SIDE), 3)
    assert not [name for name in network.state_dict() if name.startswith("lungs")]


def test_the_exported_graph_cuts_out_the_same(tmp_path, phantoms):
    torch.manual_seed(0)
    network = build_network(
        ModelRecipe(architecture="resnet18", weights="none", lung_frame=64), Preprocessing(size=SIDE), 3
    ).eval()
    path = tmp_path / "model.onnx"
    specs = export_onnx(network, path, side=SIDE, metadata={})
    assert specs[-1].shape == (-1, 3, 4, 4)
    assert check_onnx(path, network, np.stack([phantom.film for phantom in phantoms])) < 1e-4
