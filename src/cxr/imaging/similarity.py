"""Which films show the same exposure? A perceptual hash finds candidates, correlation of thumbnails is the verdict.

The thumbnail is the film without its outer 5% (markers, film borders), at 48 x 48, less its own blur, divided by its
local contrast: brightness, contrast curve, size, compression and equalisation hardly change it, while two films of
one patient differ in breath, turn and heart. The hash is made of the signs of 64 of its cosine coefficients
(Zauner 2010, on the high-passed thumbnail instead of the film).

Measured on 4,215 public films (8.9 million pairs, among them many series of one patient): the same exposure scanned
twice correlates at 0.92; every other pair is under 0.84 and the best ones are two films of one patient. Copies made
from 400 of them (JPEG quality 40, 128 px, gamma 0.7 and 1.4, contrast +40%, 1 degree turn) correlate at 0.94 or more.
Found at `NEAR_DUPLICATE` are all of those, 97% of copies cropped by 1%, 95% of histogram-equalised ones and 87% of
those with a label box burnt in; not found are copies cropped by 2% or more, turned by 2 degrees (60%) or mirrored.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.imaging.preprocess import Film

SIDE = 48
"""Side of the thumbnail, pixels."""

NEAR_DUPLICATE = 0.90
"""Correlation from which two pictures show the same exposure."""

LOOK_ALIKE = 0.80
"""Correlation from which two films may be of one patient. Of the 12 such pairs measured, 9 plainly are."""

RADIUS = 16
"""Bits of the hash by which two candidates may differ: holds every pair of correlation 0.8 that was measured, and
0.5% of all pairs. At such a radius the bands of a pigeonhole index would be 3 bits wide, so all pairs are compared:
popcounts of 25,000 films take seconds."""

Hashes = npt.NDArray[np.uint64]
Thumbnails = npt.NDArray[np.int8]

_MARGIN = 0.05
_BLUR = 3.0
_QUIET = 2.0
_SCALE = 127 / 6
_FLAT = 1e-3  # rounding errors of a film without detail stay under it
_LOWEST_FREQUENCY = 7.0
_ROWS, _PAIRS = 128, 2048


class Fingerprint(NamedTuple):
    """What comparison needs of a film.

    Attributes:
        hash: 64 bits.
        thumbnail: int8 [SIDE, SIDE], mean 0 and standard deviation 1 at 127 / 6.
    """

    hash: int
    thumbnail: Thumbnails


class Pairs(NamedTuple):
    """Pairs of similar films, in ascending order of (first, second).

    Attributes:
        first, second: int64 [m], positions with first < second.
        correlation: float32 [m], -1..1.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float32]


def fingerprint(film: Film) -> Fingerprint:
    """Fingerprint of a stored film, independent of its size, exposure and contrast curve."""
    height, width = film.shape
    top, left = round(height * _MARGIN), round(width * _MARGIN)
    inner = np.ascontiguousarray(film[top : height - top, left : width - left])
    small = np.asarray(Image.fromarray(inner).resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.float32)
    detail = small - _blurred(small, _BLUR)
    detail /= (np.sqrt(_blurred(detail * detail, 2 * _BLUR)) + _QUIET).astype(np.float32)
    detail -= detail.mean()
    detail /= np.float32(max(float(detail.std()), _FLAT))
    signs = (_cosines() @ detail @ _cosines().T).ravel()[_frequencies()] > 0
    code = int.from_bytes(np.packbits(signs).tobytes(), "big")
    return Fingerprint(code, np.clip(np.round(detail * _SCALE), -127, 127).astype(np.int8))


def similar_pairs(
    hashes: Hashes,
    thumbnails: Thumbnails,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    least: float = LOOK_ALIKE,
    radius: int = RADIUS,
) -> Pairs:
    """All pairs whose hashes differ in at most `radius` bits and whose thumbnails correlate at `least` or more.

    Working memory is independent of the number of films; `thumbnails` may be memory-mapped.

    Args:
        hashes: [n].
        thumbnails: [n, SIDE, SIDE], or more of them with `rows`.
        rows: [n], which thumbnail belongs to which hash; None when they are in one order.
        least: lowest correlation, -1..1.
        radius: 0..64 bits.
    """
    places = np.arange(len(hashes)) if rows is None else rows
    found: list[Pairs] = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for start in range(0, len(hashes), _ROWS):
        distance = np.bitwise_count(hashes[start : start + _ROWS, None] ^ hashes[None, start:])
        first, second = (axis + start for axis in np.nonzero(np.triu(distance <= radius, 1)))
        for at in range(0, len(first), _PAIRS):
            one, other = first[at : at + _PAIRS], second[at : at + _PAIRS]
            correlation = _correlation(thumbnails[places[one]], thumbnails[places[other]])
            kept = correlation >= least
            found.append(Pairs(one[kept], other[kept], correlation[kept]))
    return Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _correlation(one: Thumbnails, other: Thumbnails) -> npt.NDArray[np.float32]:
    a, b = (part.reshape(len(part), -1).astype(np.float32) for part in (one, other))
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    correlation: npt.NDArray[np.float32] = np.einsum("ij,ij->i", a, b) / np.maximum(norm, 1e-6)
    return correlation


def _blurred(image: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    kernel = _gaussian(sigma)
    return (kernel @ image @ kernel.T).astype(np.float32)


@cache
def _gaussian(sigma: float) -> npt.NDArray[np.float32]:
    """Blur of one axis as a matrix [SIDE, SIDE], mirrored at the ends."""
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        source = (row + offsets) % (2 * SIDE)
        np.add.at(matrix[row], np.where(source < SIDE, source, 2 * SIDE - 1 - source), weights / weights.sum())
    return matrix.astype(np.float32)


@cache
def _cosines() -> npt.NDArray[np.float32]:
    """DCT-II of one axis as a matrix [SIDE, SIDE]."""
    k, n = np.mgrid[0:SIDE, 0:SIDE]
    matrix: npt.NDArray[np.float32] = np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE)).astype(np.float32)
    return matrix


@cache
def _frequencies() -> npt.NDArray[np.int64]:
    """The 64 lowest frequencies that the high pass leaves, as positions in the flat spectrum."""
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    frequency = np.hypot(down, across).ravel()
    order = np.argsort(frequency, kind="stable")
    lowest: npt.NDArray[np.int64] = order[frequency[order] >= _LOWEST_FREQUENCY][:64]
    return lowest
