"""Activation maps laid over their films, as pictures. Free of torch and matplotlib."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.explain.activation import Map, enlarged
from cxr.imaging.preprocess import Film

Picture = npt.NDArray[np.uint8]
"""Colour picture: uint8 [height, width, 3]."""

OPACITY = 0.6
OUTLINE = (90, 230, 255)

_STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_HEAT = ((60, 0, 90), (150, 20, 110), (225, 70, 60), (250, 150, 20), (255, 245, 130))


def overlay(film: Film, activation: Map) -> Picture:
    """Lay the positive part of a map over its film, scaled to its own maximum; without evidence the film stays grey.

    Args:
        film: uint8 [height, width].
        activation: float32 [h, w], covering the film.
    """
    height, width = film.shape
    evidence = np.maximum(enlarged(activation, width=width, height=height), 0)
    strength = evidence / max(float(evidence.max()), np.finfo(np.float32).tiny)
    heat = np.stack([np.interp(strength, _STOPS, channel) for channel in zip(*_HEAT, strict=True)], axis=-1)
    opacity = (OPACITY * strength)[..., None]
    blended: Picture = (film[..., None] * (1 - opacity) + heat * opacity + 0.5).astype(np.uint8)
    return blended


def outlined(picture: Picture, lesion: npt.NDArray[np.bool_]) -> Picture:
    """Draw the outline of a lesion mask of any size onto a picture of the same film."""
    height, width, _ = picture.shape
    image = Image.fromarray(lesion.astype(np.uint8) * np.uint8(255))
    inside = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) >= 128
    padded = np.pad(inside, 1)
    interior = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    drawn = picture.copy()
    drawn[inside & ~interior] = OUTLINE
    return drawn
