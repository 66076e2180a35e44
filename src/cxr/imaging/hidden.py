"""Films with a part blacked out, to ask what can be told from the rest."""

import numpy as np

from cxr.contracts.shortcuts import HiddenPart
from cxr.imaging.lungs import LungMask, lung_mask
from cxr.imaging.preprocess import Film

FRAME = 0.12
"""Width of the frame that "border_only" keeps, as a share of the side."""


def hide(film: Film, part: HiddenPart, *, lungs: LungMask | None = None) -> Film:
    """Black out a part of a film, see `HiddenResult`.

    Args:
        film: uint8 [S, S].
        part: what is hidden or kept.
        lungs: where the lungs lie, bool [S, S]; found on the film when None.
    """
    if part == "border_only":
        side = film.shape[0]
        kept = np.ones(film.shape, np.bool_)
        near = round(FRAME * side)
        kept[near : side - near, near : side - near] = False
    else:
        lungs = lung_mask(film) if lungs is None else lungs
        kept = lungs if part == "lungs_only" else ~lungs
    return np.where(kept, film, np.uint8(0))
