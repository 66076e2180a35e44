"""Films as other departments would send them: askew, on a larger sheet, with boxes and markers, of any contrast."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cxr.imaging.preprocess import Film

_MOST_BOXES = 3


def varied(film: Film, rng: np.random.Generator) -> Film:
    """One film changed at random in ways that leave it an upright frontal chest film.

    Args:
        film: uint8 [side, side].
        rng: source of randomness.
    """
    changes: tuple[tuple[float, Callable[[Film, np.random.Generator], Film]], ...] = (
        (0.3, _mirrored),
        (0.8, _moved),
        (0.8, _toned),
        (0.15, _equalised),
        (0.3, _unsharp),
        (0.35, _boxed),
        (0.3, _on_sheet),
        (0.4, _grained),
    )
    for share, change in changes:
        if rng.random() < share:
            film = change(film, rng)
    return film


def _mirrored(film: Film, rng: np.random.Generator) -> Film:
    return np.ascontiguousarray(film[:, ::-1])


def _moved(film: Film, rng: np.random.Generator) -> Film:
    """Turned by up to 14 degrees, sheared, zoomed by up to a quarter, stretched and shifted; the outside is dark."""
    side = len(film)
    angle, shear = np.radians(rng.uniform(-14, 14)), rng.uniform(-0.12, 0.12)
    wide, tall = rng.uniform(0.78, 1.22) * np.exp(rng.uniform(-0.12, 0.12, 2))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = matrix @ np.array([[wide, shear], [0, tall]])
    middle = side / 2
    offset = middle - matrix @ (middle + side * rng.uniform(-0.08, 0.08, 2))
    (a, b), (d, e) = matrix.tolist()
    c, f = offset.tolist()
    picture = Image.fromarray(film).transform(
        (side, side), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR
    )
    return np.asarray(picture)


def _toned(film: Film, rng: np.random.Generator) -> Film:
    """Another exposure and contrast curve: gamma, then a sigmoid whose middle and slope are drawn."""
    grey = (np.arange(256) / 255.0) ** np.exp(rng.uniform(-0.7, 0.7))
    slope, middle = rng.uniform(0.5, 7), rng.uniform(0.25, 0.75)
    curve = 1 / (1 + np.exp(-slope * (grey - middle)))
    curve = (curve - curve[0]) / (curve[-1] - curve[0])
    table: npt.NDArray[np.uint8] = np.round(255 * curve).astype(np.uint8)
    return table[film]


def _equalised(film: Film, rng: np.random.Generator) -> Film:
    counts = np.bincount(film.ravel(), minlength=256).cumsum()
    table: npt.NDArray[np.uint8] = np.round(255 * counts / counts[-1]).astype(np.uint8)
    return table[film]


def _unsharp(film: Film, rng: np.random.Generator) -> Film:
    """Out of focus, or from a detector of fewer pixels."""
    side = len(film)
    if rng.random() < 0.5:
        return np.asarray(Image.fromarray(film).filter(ImageFilter.GaussianBlur(side * rng.uniform(0.002, 0.012))))
    few = max(16, round(side * rng.uniform(0.25, 0.6)))
    small = Image.fromarray(film).resize((few, few), Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))


def _boxed(film: Film, rng: np.random.Generator) -> Film:
    """Markers, labels and redaction boxes, mostly near the edge."""
    side, changed = len(film), film.copy()
    for _ in range(int(rng.integers(1, _MOST_BOXES + 1))):
        height, width = (max(2, int(side * rng.uniform(0.03, 0.22))) for _ in range(2))
        top, left = (int(rng.beta(0.5, 0.5) * (side - size)) for size in (height, width))
        changed[top : top + height, left : left + width] = _shade(rng, bright=0.33)
    return changed


def _on_sheet(film: Film, rng: np.random.Generator) -> Film:
    """Between bars, or smaller than the sheet that it was scanned on."""
    side = len(film)
    sheet = np.full((side, side), _shade(rng, bright=0.35), np.uint8)
    height, width = (int(side * rng.uniform(0.62, 1.0)) for _ in range(2))
    top, left = (int(rng.uniform(0, 1) * (side - size)) for size in (height, width))
    smaller = Image.fromarray(film).resize((width, height), Image.Resampling.BOX)
    sheet[top : top + height, left : left + width] = np.asarray(smaller)
    return sheet


def _shade(rng: np.random.Generator, *, bright: float) -> int:
    """White with probability `bright`, else black or, now and then, any grey."""
    drawn = rng.random()
    if drawn < bright:
        return 255
    return 0 if drawn < 0.85 else int(rng.integers(0, 256))


def _grained(film: Film, rng: np.random.Generator) -> Film:
    grain = rng.uniform(0, 14) * rng.standard_normal(film.shape, np.float32)
    return np.clip(film + grain, 0, 255).astype(np.uint8)
