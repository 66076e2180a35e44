"""Where a body lies on a sheet, and how what the beam leaves becomes grey levels."""

import numpy as np

from cxr.imaging.phantom.fields import Field, soften, turned, unit
from cxr.imaging.preprocess import Film


def grid(side: int) -> tuple[Field, Field]:
    """Coordinates -1..1 of the pixels: across [1, side] and down [side, 1]."""
    step = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side)) - 1
    return step[None, :], step[:, None]


def pose(side: int, rng: np.random.Generator, *, turn: float) -> tuple[Field, Field]:
    """Coordinates of a body shifted, zoomed and turned by up to `turn` radians; one in five by any angle."""
    x, y = grid(side)
    angle = rng.uniform(-turn, turn) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
    along, across = turned(x, y, centre=(rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)), angle=angle)
    zoom = rng.uniform(0.8, 1.35)
    return along * zoom, across * zoom


def sign(rng: np.random.Generator) -> float:
    """-1 or 1."""
    return 1.0 if rng.random() < 0.5 else -1.0


def either_way(field: Field, rng: np.random.Generator) -> Field:
    """The field or its mirror image."""
    return field[:, ::-1] if rng.random() < 0.5 else field


def collimated(field: Field, rng: np.random.Generator) -> Field:
    """The field, now and then cut to the beam's edges."""
    if rng.random() < 0.6:
        return field
    x, y = grid(len(field))
    left, right, top, bottom = rng.uniform(0.55, 1.0, 4).tolist()
    inside = (x > -left) & (x < right) & (y > -top) & (y < bottom)
    return np.where(inside, field + 0.05, 0.0)


def exposed(attenuation: Field, rng: np.random.Generator) -> Film:
    """A film of what the body takes from the beam, with scatter, blur, grain, a contrast curve, sometimes a marker."""
    left = np.maximum(attenuation, 0).astype(np.float32)
    side = len(left)
    scatter = rng.uniform(0, 0.5)
    left = (1 - scatter) * left + scatter * soften(left, side / rng.uniform(8, 20))
    top = float(np.percentile(left, 99.8)) or 1.0
    grey = unit(left / top) ** rng.uniform(0.45, 1.6)
    grey = soften(grey, rng.uniform(0.2, 1.2)) + rng.uniform(0, 0.04) * rng.standard_normal(grey.shape, np.float32)
    if rng.random() < 0.25:
        size = int(side * rng.uniform(0.04, 0.1))
        row, column = (int(place) for place in rng.integers(0, side - size, 2))
        grey[row : row + size, column : column + size // 2] = float(rng.random() < 0.5)
    return _eight_bits(grey)


def windowed(grey: Field, rng: np.random.Generator) -> Film:
    """Grey levels between two percentiles drawn at random, with noise."""
    low, high = np.percentile(grey, [rng.uniform(0, 8), rng.uniform(75, 100)]).tolist()
    scaled = unit((grey - low) / max(high - low, 1e-3))
    return _eight_bits(scaled + rng.uniform(0, 0.03) * rng.standard_normal(grey.shape, np.float32))


def _eight_bits(grey: Field) -> Film:
    return (unit(grey) * 255 + 0.5).astype(np.uint8)
