import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.reporting.inline_images import data_uri


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_a_film_keeps_every_grey_level(tmp_path: Path):
    film = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    Image.fromarray(film).save(tmp_path / "film.png")
    assert np.array_equal(np.asarray(decoded(data_uri(tmp_path / "film.png", width=100, film=True))), film)


def test_a_wide_picture_is_reduced_in_proportion(tmp_path: Path):
    Image.new("RGB", (400, 200), "red").save(tmp_path / "figure.png")
    assert decoded(data_uri(tmp_path / "figure.png", width=100)).size == (100, 50)


def test_transparency_lies_on_white(tmp_path: Path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "figure.png")
    assert decoded(data_uri(tmp_path / "figure.png", width=100)).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("film", [False, True])
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, film: bool):
    noise = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "figure.png")
    assert data_uri(tmp_path / "figure.png", width=50, film=film) == data_uri(
        tmp_path / "figure.png", width=50, film=film
    )
