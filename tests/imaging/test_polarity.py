from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr.imaging.phantom import draw_phantom
from cxr.imaging.polarity import CERTAIN, chest_likeness, is_negative, negated
from support.films import chest


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), height=st.integers(128, 400), width=st.integers(128, 400))
def test_a_chest_is_told_from_its_negative(seed: int, height: int, width: int) -> None:
    film = chest(height, width, seed=seed)
    assert not is_negative(film)
    assert is_negative(negated(film))


@settings(max_examples=20)
@given(gamma=st.floats(0.3, 3), seed=st.integers(0, 100))
def test_likeness_hardly_depends_on_exposure_type_or_contrast(gamma: float, seed: int) -> None:
    film = chest(seed=seed)
    curved = (film / 255.0) ** gamma * 4095
    assert chest_likeness(curved) == pytest.approx(chest_likeness(film), abs=0.3)
    assert not is_negative(curved)
    assert is_negative(negated(curved))
    assert chest_likeness(curved.astype(np.uint16)) == pytest.approx(chest_likeness(curved), abs=0.02)


def test_likeness_of_a_negative_is_the_opposite() -> None:
    film = chest(seed=3)
    assert chest_likeness(negated(film)) == pytest.approx(-chest_likeness(film), abs=1e-4)


def test_phantoms_are_positives() -> None:
    film = draw_phantom(finding="Tuberculosis", seed=7).film
    assert chest_likeness(film) > 0.2


@pytest.mark.parametrize("film", [np.zeros((200, 200), np.uint8), np.tile(np.arange(200, dtype=np.uint8), (200, 1))])
def test_pictures_without_a_chest_are_left_alone(film: np.ndarray) -> None:
    assert not is_negative(film)
    assert not is_negative(255 - film)


def test_negation_keeps_the_range_of_a_film() -> None:
    film = chest().astype(np.uint16) + 1000
    negative = negated(film)
    assert (negative.min(), negative.max(), negative.dtype) == (film.min(), film.max(), film.dtype)
    np.testing.assert_array_equal(negated(negative), film)
    np.testing.assert_array_equal(negated(chest()), 255 - chest())


@pytest.mark.real
def test_no_real_film_is_taken_for_a_negative(real_data: Path) -> None:
    folder = real_data / "chest-xray"
    paths = pd.read_csv(folder / "index.csv")["path"][::8]
    likeness = np.array([chest_likeness(np.asarray(Image.open(folder / path).convert("L"))) for path in paths])
    assert likeness.min() > CERTAIN
    assert (likeness > -CERTAIN).mean() > 0.93, "their negatives would be found"
