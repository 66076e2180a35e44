"""Work on a picture a few rows at a time: what it takes on the way is then a strip's memory and not the picture's."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

_PIXELS = 2**16
"""Of a strip: pydicom's functions take up to 40 bytes for each."""


def by_strips(function: Callable[[Values], Values], values: Values) -> Values:
    """What a function gives for all of the values.

    Args:
        function: of some rows [n, …]; gives as many, of the same dtype whatever the values, each from its row alone.
        values: [height, …], not empty.
    """
    first, *others = strips(len(values), values[0].size)
    part = function(values[first])
    whole = np.empty((len(values), *part.shape[1:]), part.dtype)
    whole[first] = part
    for rows in others:
        whole[rows] = function(values[rows])
    return whole


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of each strip of a picture, from the top."""
    rows = max(1, _PIXELS // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))
