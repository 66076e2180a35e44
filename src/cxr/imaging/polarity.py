"""Is air dark? Tells a negative from a positive by the layout that every frontal chest film shares.

Headers lie about it (MONOCHROME1 written beside positive pixels is the usual fault) and PNG or JPEG exports have no
field for it at all, so the pixels are asked.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.generic]

CERTAIN = -0.3
"""Films under this likeness are negatives. Of 4,215 public films of five sources (children, adults, whole-lung
opacities, letterboxes, redaction boxes) none reaches it, the lowest is -0.20; negated, 96% of them do."""

_COARSE, _SIDE = 64, 32
_FLAT = 0.12


def is_negative(pixels: Grey) -> bool:
    """Whether air is bright and bone dark, beyond the doubt of `CERTAIN`.

    Args:
        pixels: [height, width], any real dtype.
    """
    return chest_likeness(pixels) < CERTAIN


def chest_likeness(pixels: Grey) -> float:
    """Correlation, -1..1, of a film's grey ranks with a drawn chest: dark lungs, bright mediastinum and abdomen.

    Ranks make it independent of exposure and contrast curve; flat margins (collimation, letterbox) are cut first.
    Medians of films and of their negatives are +0.5 and -0.5; of a film without a chest it says nothing.
    """
    film, chest = _ranks(_framed(_thumbnail(pixels))), _chest().ravel()
    chest = chest - chest.mean()
    spread = np.linalg.norm(film) * np.linalg.norm(chest)
    return float(film @ chest / spread) if spread > 0 else 0.0


def negated(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The negative within the range of the values: 0..255 of uint8, their own minimum..maximum of other types."""
    if pixels.dtype == np.uint8:
        return 255 - pixels
    negative: npt.NDArray[Any] = pixels.max() - pixels + pixels.min()
    return negative


def _thumbnail(pixels: Grey) -> npt.NDArray[np.float32]:
    step = max(1, min(pixels.shape) // (4 * _COARSE))
    reduced = np.ascontiguousarray(pixels[::step, ::step], dtype=np.float32)
    return np.asarray(Image.fromarray(reduced).resize((_COARSE, _COARSE), Image.Resampling.BOX))


def _framed(film: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    low, high = np.percentile(film, [2, 98])
    rows = _busy(film.std(axis=1), _FLAT * (high - low))
    film = film[rows]
    film = np.ascontiguousarray(film[:, _busy(film.std(axis=0), _FLAT * (high - low))])
    return np.asarray(Image.fromarray(film).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))


def _busy(spread: npt.NDArray[np.floating], least: float) -> slice:
    lines = np.flatnonzero(spread > least)
    if len(lines) < _COARSE // 4:
        return slice(None)
    return slice(int(lines[0]), int(lines[-1]) + 1)


def _ranks(image: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Centred ranks, ties averaged."""
    _, place, count = np.unique(image, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks = (last - (count - 1) / 2)[place.ravel()]
    centred: npt.NDArray[np.float64] = ranks - ranks.mean()
    return centred


@cache
def _chest() -> npt.NDArray[np.float64]:
    y, x = (np.mgrid[0:_SIDE, 0:_SIDE] + 0.5) / _SIDE

    def blob(across: float, down: float, width: float, height: float) -> npt.NDArray[np.float64]:
        spot: npt.NDArray[np.float64] = np.exp(-(((x - across) / width) ** 2) - ((y - down) / height) ** 2)
        return spot

    lungs = blob(0.3, 0.42, 0.13, 0.25) + blob(0.7, 0.42, 0.13, 0.25)
    mediastinum, abdomen = blob(0.5, 0.5, 0.1, 0.6), blob(0.5, 1.0, 0.6, 0.18)
    return mediastinum + abdomen - lungs
