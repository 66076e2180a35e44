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


def overlay(film: Film, activation: Map, *, opacity: float = OPACITY) -> Picture:
    """Lay the positive part of a map over its film, scaled to its own maximum; without evidence the film stays grey.

    Args:
        film: uint8 [height, width].
        activation: float32 [h, w], covering the film.
        opacity: of the strongest evidence, 0..1.
    """
    height, width = film.shape
    strength = _strength(activation, width=width, height=height)
    share = (opacity * strength)[..., None]
    blended: Picture = (film[..., None] * (1 - share) + _heat(strength) * share + 0.5).astype(np.uint8)
    return blended


def coloured(activation: Map, *, width: int, height: int, opacity: float = 1.0) -> npt.NDArray[np.uint8]:
    """The positive part of a map alone, uint8 [height, width, 4]: the stronger the evidence, the less transparent.

    Args:
        activation: float32 [h, w].
        width: of the picture, pixels.
        height: of the picture, pixels.
        opacity: of the strongest evidence, 0..1.
    """
    strength = _strength(activation, width=width, height=height)
    alpha = (255 * opacity * strength)[..., None]
    return (np.concatenate([_heat(strength), alpha], axis=-1) + 0.5).astype(np.uint8)


def _strength(activation: Map, *, width: int, height: int) -> Map:
    """Positive evidence as a share of its own maximum, [height, width]."""
    evidence = np.maximum(enlarged(activation, width=width, height=height), 0)
    strength: Map = evidence / max(float(evidence.max()), np.finfo(np.float32).tiny)
    return strength


def _heat(strength: Map) -> npt.NDArray[np.float64]:
    return np.stack([np.interp(strength, _STOPS, channel) for channel in zip(*_HEAT, strict=True)], axis=-1)


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
