"""Heat maps and films as PNG."""

import io
from typing import Literal

import numpy as np
from PIL import Image

from cxr.explain.overlay import coloured, overlay
from cxr.imaging.preprocess import Film
from cxr.serving.service import Answer

Format = Literal["overlay", "map"]

LONG_SIDE = 1024
"""Longest side of a heat map, pixels."""


def heat_map(answer: Answer, finding: int, *, opacity: float, form: Format) -> bytes:
    """Evidence for one finding as a PNG.

    Args:
        answer: of the film.
        finding: its place among the findings.
        opacity: of the strongest evidence, 0..1.
        form: `overlay` on the film, or the `map` alone with transparency; both have the film's aspect.
    """
    activation = answer.outputs.maps[finding]
    reduction = min(1.0, LONG_SIDE / max(answer.prepared.width, answer.prepared.height))
    width, height = max(1, round(answer.prepared.width * reduction)), max(1, round(answer.prepared.height * reduction))
    if form == "map":
        return _encoded(Image.fromarray(coloured(activation, width=width, height=height, opacity=opacity)))
    film = Image.fromarray(answer.prepared.stored).resize((width, height), Image.Resampling.BILINEAR)
    return _encoded(Image.fromarray(overlay(np.asarray(film), activation, opacity=opacity)))


def png(film: Film) -> bytes:
    """A film as a PNG."""
    return _encoded(Image.fromarray(film))


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
