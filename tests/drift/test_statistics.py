import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFilter

from cxr.drift.statistics import STATISTICS, image_statistics

films = hnp.arrays(np.uint8, st.integers(20, 40).map(lambda side: (side, side)))


def named(film):
    return dict(zip(STATISTICS, image_statistics(film).tolist(), strict=True))


def picture(side=128):
    """Smooth shapes, so that noise and blur show."""
    y, x = np.mgrid[:side, :side] / side
    return (128 + 60 * np.sin(9 * x) * np.cos(7 * y)).astype(np.uint8)


@given(films)
def test_every_film_has_finite_statistics(film):
    values = image_statistics(film)
    assert values.dtype == np.float32
    assert values.shape == (len(STATISTICS),)
    assert np.isfinite(values).all()


@given(films)
def test_grey_levels_are_numpys(film):
    found = named(film)
    assert found["mean"] == pytest.approx(film.mean(), rel=1e-5)
    assert found["std"] == pytest.approx(film.std(), rel=1e-4, abs=1e-3)
    for share in (5, 25, 50, 75, 95):
        assert found[f"p{share:02d}"] == np.percentile(film, share, method="inverted_cdf")


@given(films)
def test_a_mirrored_film_differs_in_balance_alone(film):
    found, mirrored = named(film), named(film[:, ::-1])
    assert mirrored.pop("balance") == pytest.approx(-found.pop("balance"), abs=1e-3)
    assert mirrored == pytest.approx(found, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("sigma", [2.0, 6.0, 12.0])
def test_noise_is_estimated_in_grey_levels(sigma):
    noisy = picture(256) + np.random.default_rng(0).normal(0, sigma, (256, 256))
    assert named(np.clip(noisy.round(), 0, 255).astype(np.uint8))["noise"] == pytest.approx(sigma, rel=0.15)


def test_blur_lowers_sharpness():
    rough = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(rough).filter(ImageFilter.GaussianBlur(2)))
    assert named(blurred)["sharpness"] < named(rough)["sharpness"]


def test_extremes_entropy_and_border():
    film = np.full((40, 40), 255, np.uint8)
    film[2:-2, 2:-2] = 0
    found = named(film)
    inner = 36 * 36 / 1600
    assert found["border"] == 255
    assert (found["dark"], found["bright"]) == (pytest.approx(inner), pytest.approx(1 - inner))
    assert found["entropy"] == pytest.approx(-inner * np.log2(inner) - (1 - inner) * np.log2(1 - inner))
