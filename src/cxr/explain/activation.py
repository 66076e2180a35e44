"""Class-activation maps as pictures of evidence: enlarged to the film, and reduced to their peak. Free of torch."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Map = npt.NDArray[np.float32]
"""Evidence for one finding by place: float32 [h, w], any sign; it covers the whole film."""


class Peak(NamedTuple):
    """A place on a film as shares of its width and height, 0..1 from the top left corner."""

    x: float
    y: float


def enlarged(activation: Map, *, width: int, height: int) -> Map:
    """A map at the size of its film, [height, width], bilinear between the centres of its cells."""
    image = Image.fromarray(np.ascontiguousarray(activation, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def peak(activation: Map) -> Peak:
    """Where a map is highest: the centre of its first highest cell, which is where the enlarged map is highest too."""
    row, column = np.unravel_index(int(np.argmax(activation)), activation.shape)
    height, width = activation.shape
    return Peak(x=(int(column) + 0.5) / width, y=(int(row) + 0.5) / height)
