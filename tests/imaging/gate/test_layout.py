import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxr.imaging.gate.layout import COARSE, LENGTH, layout
from support.films import chest


def test_a_layout_is_a_fixed_number_of_bounded_numbers():
    film = layout(chest(128, 128))
    assert film.dtype == np.float32
    assert film.shape == (LENGTH,)
    edges, ranks = film[: -(COARSE**2)], film[-(COARSE**2) :]
    assert 0 <= edges.min() <= edges.max() < 0.5
    assert -0.5 <= ranks.min() <= ranks.max() <= 0.5
    assert ranks.mean() == pytest.approx(0, abs=1e-6)


@given(shift=st.integers(-10, 25), seed=st.integers(0, 50))
def test_brightness_does_not_matter(shift, seed):
    film = np.clip(chest(96, 96, seed=seed), 10, 230)
    np.testing.assert_allclose(layout(film), layout((film.astype(int) + shift).astype(np.uint8)), atol=1e-6)


def test_the_size_of_the_picture_matters_little():
    film = chest(256, 256, noise=0)
    smaller = np.asarray(Image.fromarray(film).resize((128, 128), Image.Resampling.BOX))
    assert np.abs(layout(film) - layout(smaller)).mean() < 0.005


def test_a_film_on_its_head_has_another_layout_and_a_flat_picture_has_none():
    film = chest(128, 128)
    assert np.abs(layout(film) - layout(film[::-1])).mean() > 0.05
    assert not layout(np.full((64, 64), 99, np.uint8)).any()


def test_dark_on_bright_is_not_bright_on_dark():
    spot = np.full((64, 64), 200, np.uint8)
    spot[20:44, 20:44] = 50
    edges = slice(0, -(COARSE**2))
    assert np.abs(layout(spot)[edges] - layout(255 - spot)[edges]).max() > 0.2
