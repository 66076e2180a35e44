"""Films with a part blacked out, to ask what can be told from the rest."""

from collections.abc import Callable

import numpy as np

from cxr.contracts.shortcuts import HiddenPart
from cxr.imaging.lungs import LungMask, lung_mask
from cxr.imaging.preprocess import Film

LungLocaliser = Callable[[Film], LungMask]
"""Film uint8 [S, S] to where its lungs lie, bool [S, S]."""

FRAME = 0.12
"""Width of the frame that "border_only" keeps, as a share of the side."""


def hide(film: Film, part: HiddenPart, *, localise: LungLocaliser = lung_mask) -> Film:
    """Black out a part of a film, see `HiddenResult`.

    Args:
        film: uint8 [S, S].
        part: what is hidden or kept.
        localise: where the lungs lie.
    """
    if part == "border_only":
        side = film.shape[0]
        kept = np.ones(film.shape, np.bool_)
        near = round(FRAME * side)
        kept[near : side - near, near : side - near] = False
    else:
        lungs = localise(film)
        kept = lungs if part == "lungs_only" else ~lungs
    return np.where(kept, film, np.uint8(0))
