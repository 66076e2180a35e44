"""What a picture's layout is made of: where edges run which way, and where it is dark and bright. Numpy only.

Histograms of oriented gradients (Dalal & Triggs 2005) with signed orientation, since a lung's edge is dark inside, and
a thumbnail of grey ranks. Both are independent of brightness and, by their normalisation, nearly so of contrast.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.imaging.preprocess import Film

SIDE, CELL, BINS, COARSE = 64, 8, 12, 16
"""Side of the picture that edges are sought in, of a cell of the histograms, orientations, side of the thumbnail."""

LENGTH = (SIDE // CELL) ** 2 * BINS + COARSE**2
"""Numbers per picture."""

Floats = npt.NDArray[np.float32]

_QUIET = 4.0
_TOP = 0.35


def layout(film: Film) -> Floats:
    """Describe one picture.

    Args:
        film: uint8 [height, width] as `cxr.imaging.preprocess.network_input` gives it; it is reduced to `SIDE`.

    Returns:
        float32 [`LENGTH`]: histograms by cell, each 2 × 2 neighbourhood of unit length at most, then centred ranks.
    """
    square = Image.fromarray(film).resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(square, np.float32)
    coarse = np.asarray(square.resize((COARSE, COARSE), Image.Resampling.BOX), np.float32)
    return np.concatenate([_oriented(grey), _ranks(coarse)])


def _oriented(grey: Floats) -> Floats:
    padded = np.pad(grey, 1, mode="edge")
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    strength = np.hypot(across, down)
    place = (np.arctan2(down, across) * np.float32(BINS / (2 * np.pi))) % BINS
    low = np.floor(place)
    share = (place - low).astype(np.float32)
    first = low.astype(np.int64) % BINS
    cells = _cells() * BINS
    count = (SIDE // CELL) ** 2 * BINS
    totals = np.bincount((cells + first).ravel(), (strength * (1 - share)).ravel(), count)
    totals += np.bincount((cells + (first + 1) % BINS).ravel(), (strength * share).ravel(), count)
    cells_across = SIDE // CELL
    histogram = totals.reshape(cells_across, cells_across, BINS)
    energy = np.pad((histogram**2).sum(axis=2), 1, mode="edge")
    around = sum(energy[i : i + cells_across, j : j + cells_across] for i in range(3) for j in range(3)) / 9
    normal = np.minimum(histogram / (2 * np.sqrt(around) + _QUIET * CELL)[:, :, None], _TOP)
    return normal.ravel().astype(np.float32)


def _ranks(grey: Floats) -> Floats:
    """Ranks as -0.5..0.5, flat; ties averaged."""
    _, place, count = np.unique(grey, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    middle = (last - (count + 1) / 2) / max(grey.size - 1, 1)
    return (middle[place.ravel()] - 0.5).astype(np.float32)


@cache
def _cells() -> npt.NDArray[np.int64]:
    """Number of the cell that each pixel lies in, [SIDE, SIDE]."""
    row = np.arange(SIDE) // CELL
    return row[:, None] * (SIDE // CELL) + row[None, :]
