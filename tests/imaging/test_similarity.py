import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cxr.imaging.similarity import LOOK_ALIKE, NEAR_DUPLICATE, RADIUS, SIDE, Fingerprint, fingerprint, similar_pairs
from support.films import chest

COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg 40": lambda film: _jpeg(film, 40),
    "half the size": lambda film: film.resize((film.width // 2, film.height // 2)),
    "square": lambda film: film.resize((256, 256)),
    "gamma 0.7": lambda film: film.point([round(255 * (v / 255) ** 0.7) for v in range(256)]),
    "darker": lambda film: film.point([v // 2 for v in range(256)]),
    "more contrast": lambda film: ImageOps.autocontrast(film, cutoff=2),
    "turned 1 degree": lambda film: film.rotate(1, Image.Resampling.BILINEAR),
}


def correlation(one: Fingerprint, other: Fingerprint) -> float:
    return float(np.corrcoef(one.thumbnail.ravel(), other.thumbnail.ravel())[0, 1])


def distance(one: Fingerprint, other: Fingerprint) -> int:
    return (one.hash ^ other.hash).bit_count()


@pytest.mark.parametrize("copy", COPIES)
def test_copies_show_the_same_exposure(copy: str) -> None:
    for seed in range(5):
        film = Image.fromarray(chest(320, 288, seed=seed))
        one, other = fingerprint(np.asarray(film)), fingerprint(np.asarray(COPIES[copy](film)))
        assert correlation(one, other) >= NEAR_DUPLICATE
        assert distance(one, other) <= RADIUS


def test_other_chests_are_other_exposures() -> None:
    prints = [fingerprint(chest(320, 288, seed=seed)) for seed in range(30)]
    pairs = [(one, other) for position, one in enumerate(prints) for other in prints[:position]]
    assert max(correlation(one, other) for one, other in pairs) < NEAR_DUPLICATE


def test_a_constant_film_has_a_fingerprint() -> None:
    print_ = fingerprint(np.full((200, 180), 9, np.uint8))
    assert print_.thumbnail.shape == (SIDE, SIDE)
    assert not print_.thumbnail.any()


@settings(max_examples=25)
@given(
    films=st.integers(0, 400),
    radius=st.integers(0, 40),
    least=st.floats(-0.5, 0.9),
    shuffled=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_pairs_are_those_of_comparing_each_with_each(
    films: int, radius: int, least: float, shuffled: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 8, films)
    hashes = (bases.astype(np.uint64) << np.uint64(32)) ^ (rng.integers(0, 4, films).astype(np.uint64))
    noise = rng.normal(size=(films, SIDE, SIDE))
    thumbnails = np.clip(20 * (rng.normal(size=(8, SIDE, SIDE))[bases] + noise), -127, 127).astype(np.int8)
    rows = rng.permutation(films) if shuffled else None
    found = similar_pairs(hashes, thumbnails, rows=rows, least=least, radius=radius)
    ordered = thumbnails if rows is None else thumbnails[rows]
    flat = ordered.reshape(films, SIDE * SIDE).astype(float)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    expected = {
        (i, j): flat[i] @ flat[j]
        for i in range(films)
        for j in range(i + 1, films)
        if int(hashes[i] ^ hashes[j]).bit_count() <= radius and flat[i] @ flat[j] >= least
    }
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == sorted(pairs)
    undecided = {pair for pair in set(pairs) ^ set(expected) if abs(flat[pair[0]] @ flat[pair[1]] - least) < 1e-5}
    assert set(pairs) ^ set(expected) == undecided, "but for rounding at the limit itself"
    values = [flat[i] @ flat[j] for i, j in pairs]
    np.testing.assert_allclose(found.correlation, values, atol=1e-5)


@pytest.mark.real
def test_real_films_of_a_series_are_look_alikes_and_a_rescan_is_a_duplicate(real_data: Path) -> None:
    folder = real_data / "chest-xray"
    index = pd.read_csv(folder / "index.csv")
    paths = index.loc[index["source"] == "rahman_tb", "path"].tolist()
    prints = [fingerprint(np.asarray(Image.open(folder / path).convert("L"))) for path in paths]
    hashes = np.array([print_.hash for print_ in prints], np.uint64)
    pairs = similar_pairs(hashes, np.stack([print_.thumbnail for print_ in prints]))
    found = {(paths[i].rpartition("-")[2], paths[j].rpartition("-")[2]): r for i, j, r in zip(*pairs, strict=True)}
    near = {pair for pair, value in found.items() if value >= NEAR_DUPLICATE}
    assert near == {("443.jpg", "449.jpg")}
    assert {("73.jpg", "74.jpg"), ("328.jpg", "329.jpg")} <= set(found)
    assert min(found.values()) >= LOOK_ALIKE


def _jpeg(film: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    film.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)
