"""THE definition of preprocessing: the same code prepares films for training, evaluation and the service.

Two stages, both deterministic and free of torch: `stored_film` (any decoded picture to the 8-bit film that ingestion
keeps) and `network_input` (a stored film to the square that the network sees). A service runs one after the other.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.contracts.recipe import Preprocessing
from cxr.imaging.strips import by_strips

Film = npt.NDArray[np.uint8]
"""A film: uint8 [height, width], 0 is black (air), 255 is white (bone)."""


def stored_film(pixels: npt.NDArray[np.generic], preprocessing: Preprocessing) -> Film:
    """Reduce decoded pixels to an 8-bit film whose short side is at most `stored_side`.

    Args:
        pixels: [height, width], integer or floating, air dark and bone bright. uint8 keeps its values; any other type
            is scaled from its own minimum..maximum, since its nominal range says nothing (12 bits stored in 16).
        preprocessing: of the recipe.
    """
    film = pixels if pixels.dtype == np.uint8 else _to_8_bit(pixels)
    height, width = film.shape
    reduction = preprocessing.stored_side / min(height, width)
    if reduction >= 1:
        return np.ascontiguousarray(film)
    size = (max(1, round(width * reduction)), max(1, round(height * reduction)))
    return np.asarray(Image.fromarray(film).resize(size, Image.Resampling.BOX))


def network_input(film: Film, preprocessing: Preprocessing) -> Film:
    """Resize a stored film to the square [size, size] and stretch its grey levels between the clip percentiles.

    The whole film is used: cropping loses the costophrenic angles, bars of a letterbox tell the source by its aspect.
    """
    side = preprocessing.size
    square = np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0))
    low, high = percentiles(square, preprocessing.clip_percentiles)
    if high - low < 1:
        return square
    table = np.clip((np.arange(256) - low) * (255.0 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    stretched: Film = table[square]
    return stretched


def percentiles(film: Film, shares: Sequence[float]) -> tuple[float, ...]:
    """What `numpy.percentile` gives for 8-bit values, from their histogram: several times as fast.

    Args:
        film: uint8, any shape, not empty.
        shares: percentages, 0..100.
    """
    below = np.bincount(film.ravel(), minlength=256).cumsum()
    found = []
    for share in shares:
        place = share / 100 * (film.size - 1)
        first = int(place)
        low, high = (float(level) for level in np.searchsorted(below, [first, min(first + 1, film.size - 1)], "right"))
        part = place - first
        found.append(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))
    return tuple(found)


def _to_8_bit(pixels: npt.NDArray[np.generic]) -> Film:
    low, high = float(np.float32(pixels.min())), float(np.float32(pixels.max()))
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scale = 255.0 / (high - low)
    return by_strips(lambda rows: ((rows.astype(np.float32) - low) * scale + 0.5).astype(np.uint8), pixels)
