"""The last step from drawing to film: the body leans a little and no two bodies bend alike."""

import math

import numpy as np
from PIL import Image

from cxr.imaging.phantom.anatomy import Anatomy, Positioning
from cxr.imaging.phantom.fields import noise

Mesh = list[tuple[tuple[int, int, int, int], tuple[float, ...]]]
"""Rectangles of the film and the quadrilaterals of the drawing that they show, as Pillow's `Transform.MESH` takes."""

_CELLS = 12
_BODY, _POSTURE = 0.011, 0.008


def film_mesh(anatomy: Anatomy, positioning: Positioning, *, drawn: int, side: int) -> Mesh:
    """Where each part of the film lies on the drawing.

    Args:
        anatomy: bends all of the patient's films in the same way.
        positioning: tilts this film and bends it a little more.
        drawn: side of the drawing, pixels.
        side: side of the film, pixels, cut from the drawing's middle.
    """
    edges = np.rint(np.linspace(0, side, _CELLS + 1))
    x, y = (axis - 0.5 * side for axis in np.meshgrid(edges, edges))
    for seed, amount in ((anatomy.shape_seed, _BODY), (positioning.shape_seed, _POSTURE)):
        rng = np.random.default_rng(seed)
        x = x + amount * side * noise(rng, _CELLS + 1, cells=4)
        y = y + amount * side * noise(rng, _CELLS + 1, cells=4)
    cosine, sine = math.cos(positioning.tilt), math.sin(positioning.tilt)
    nodes = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1) + 0.5 * drawn
    corners = (nodes[:-1, :-1], nodes[1:, :-1], nodes[1:, 1:], nodes[:-1, 1:])
    quads = np.concatenate(corners, axis=-1).reshape(-1, 8).tolist()
    ends = edges.astype(int)
    left, top = (axis.ravel() for axis in np.meshgrid(ends[:-1], ends[:-1]))
    right, bottom = (axis.ravel() for axis in np.meshgrid(ends[1:], ends[1:]))
    boxes = np.stack([left, top, right, bottom], axis=1).tolist()
    return [(tuple(box), tuple(quad)) for box, quad in zip(boxes, quads, strict=True)]


def onto_film(drawing: Image.Image, mesh: Mesh, *, side: int, resampling: Image.Resampling) -> Image.Image:
    """The film, [side, side], that shows `drawing` through `mesh`."""
    return drawing.transform((side, side), Image.Transform.MESH, mesh, resampling)
