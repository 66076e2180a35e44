"""Smooth fields over a pixel grid: the few shapes and noises that every tissue is made of.

Factors are plain Python floats throughout, so that float32 fields stay float32 (NEP 50).
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[np.floating[Any]]
"""float32, [height, width] or a row or column that broadcasts to it."""


def unit(values: Field) -> Field:
    """Values clipped to 0..1."""
    return np.minimum(np.maximum(values, 0), 1)


def smooth(values: Field) -> Field:
    """Smoothstep: 0 below 0, 1 above 1, level at both ends."""
    v = unit(values)
    return v * v * (3 - 2 * v)


def bulge(values: Field) -> Field:
    """Thickness of a round body at depth `values` below its edge: 0 at 0, steep at first, 1 from 1 on."""
    rest = 1 - unit(values)
    return np.sqrt(1 - rest * rest)


def bump(values: Field) -> Field:
    """Gaussian bell of unit height and unit standard deviation."""
    return np.exp(-0.5 * values * values)


def turned(x: Field, y: Field, *, centre: tuple[float, float], angle: float) -> tuple[Field, Field]:
    """Coordinates about `centre` along and across a direction; `angle` in radians turns x towards y."""
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    dx, dy = x - float(centre[0]), y - float(centre[1])
    return dx * cosine + dy * sine, dy * cosine - dx * sine


def ellipsoid(x: Field, y: Field, *, centre: tuple[float, float], radii: tuple[float, float], angle: float) -> Field:
    """Thickness of an ellipsoid, 1 at its centre and 0 outside; `angle` in radians turns x towards y."""
    along, across = turned(x, y, centre=centre, angle=angle)
    along, across = along / radii[0], across / radii[1]
    return np.sqrt(np.maximum(1 - along * along - across * across, 0))


def resized(field: Field, side: int) -> Field:
    """The field interpolated (bicubic) to [side, side]."""
    return np.asarray(Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, side: int, *, cells: float, octaves: int = 1, persistence: float = 0.6) -> Field:
    """Random field of about unit variance, [side, side].

    Args:
        rng: source of randomness.
        side: pixels.
        cells: hills and hollows across the field in the coarsest octave; each further octave doubles them.
        octaves: layers of detail.
        persistence: amplitude of each octave relative to the one before.
    """
    total = np.zeros((4, 4), np.float32)
    weights = [persistence**octave for octave in range(octaves)]
    scale = 1.25 / float(np.sqrt(sum(w * w for w in weights)))
    for octave, weight in enumerate(weights):
        count = min(side, max(4, round(cells * 2**octave)))
        total = resized(total, count) + (weight * scale) * rng.standard_normal((count, count), np.float32)
    return resized(total, side)


def soften(field: Field, sigma: float) -> Field:
    """Gaussian blur with `sigma` in pixels; edges are repeated. Below 0.2 pixels the field itself."""
    if sigma < 0.2:
        return field
    if sigma > 4:
        return _soften_coarse(field, sigma)
    taps = _taps(round(sigma, 2))
    reach, (height, width) = len(taps) - 1, field.shape
    padded = np.pad(field, reach, mode="edge")
    down = taps[0] * padded[reach : reach + height]
    for step in range(1, reach + 1):
        down += taps[step] * (padded[reach - step :][:height] + padded[reach + step :][:height])
    total = taps[0] * down[:, reach : reach + width]
    for step in range(1, reach + 1):
        total += taps[step] * (down[:, reach - step :][:, :width] + down[:, reach + step :][:, :width])
    return total


def _soften_coarse(field: Field, sigma: float) -> Field:
    side = max(4, int(field.shape[0] * 2 / sigma))
    small = np.asarray(Image.fromarray(field).resize((side, side), Image.Resampling.BOX))
    return resized(soften(small, sigma * side / field.shape[0]), field.shape[0])


@lru_cache(maxsize=64)
def _taps(sigma: float) -> tuple[float, ...]:
    steps = np.arange(int(np.ceil(2.5 * sigma)) + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    return tuple(float(w) for w in weights / (2 * weights.sum() - weights[0]))
