import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cxr.contracts.recipe import Preprocessing
from cxr.imaging.preprocess import network_input, percentiles, stored_film

PREPROCESSING = Preprocessing(size=64, stored_side=100)


def ramp(height=200, width=300):
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def test_a_larger_film_is_reduced_to_the_stored_side_and_keeps_its_aspect():
    assert stored_film(ramp(200, 300), PREPROCESSING).shape == (100, 150)


def test_a_smaller_film_is_kept_bit_for_bit():
    film = ramp(80, 90)
    np.testing.assert_array_equal(stored_film(film, PREPROCESSING), film)


def test_twelve_bits_in_sixteen_fill_the_eight():
    film = stored_film((ramp(80, 90).astype(np.uint16) * 16), PREPROCESSING)
    assert film.dtype == np.uint8
    assert (film.min(), film.max()) == (0, 255)


def test_a_constant_film_of_many_bits_is_black():
    assert not stored_film(np.full((80, 90), 4000, np.uint16), PREPROCESSING).any()


@settings(max_examples=50)
@given(arrays(np.uint8, st.tuples(st.integers(8, 120), st.integers(8, 120))))
def test_the_network_input_is_always_a_square_of_bytes(film):
    square = network_input(film, PREPROCESSING)
    assert square.shape == (64, 64)
    assert square.dtype == np.uint8


@given(gain=st.floats(0.3, 1.0), offset=st.integers(0, 60))
def test_exposure_is_standardised(gain, offset):
    film = ramp(64, 64) // 2 + 20
    exposed = np.clip(film * gain + offset, 0, 255).astype(np.uint8)
    difference = network_input(film, PREPROCESSING).astype(int) - network_input(exposed, PREPROCESSING).astype(int)
    assert np.abs(difference).max() <= 255 / (100 * gain) + 2, "but for rounding to 8 bits"


def test_grey_levels_fill_the_range_between_the_clip_percentiles():
    square = network_input(ramp() // 4 + 100, Preprocessing(size=64, clip_percentiles=(5.0, 95.0)))
    assert (square.min(), square.max()) == (0, 255)
    assert (square == 0).mean() == pytest.approx(0.05, abs=0.03)


def test_a_constant_film_stays_as_it_is():
    assert (network_input(np.full((80, 80), 7, np.uint8), PREPROCESSING) == 7).all()


@given(
    arrays(np.uint8, array_shapes(min_dims=1, max_dims=2, max_side=40)),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
)
def test_percentiles_of_8_bit_values_are_numpys(film, shares):
    assert percentiles(film, shares) == tuple(np.percentile(film, shares))
