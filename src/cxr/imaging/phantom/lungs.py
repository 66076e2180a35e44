"""Air in the chest and what lies in it: heart, lungs, airways, vessels."""

import numpy as np

from cxr.domain import View
from cxr.imaging.phantom.anatomy import LEFT, RIGHT, Anatomy, Chest, Positioning
from cxr.imaging.phantom.fields import Field, soften
from cxr.imaging.phantom.frame import Frame, Layer, Points, curve, ribbon

LUNG_DEPTH = 0.64
"""Share of the trunk's attenuation that is missing where the lungs are deepest."""

_TRUNKS = np.array([-1.3, -1.05, -0.7, -0.2, 0.15, 0.5, 0.8, 1.05, 1.25, 1.4])
"""Directions in which the first vessels leave a hilum: radians from horizontal, growing downwards."""


def lungs(frame: Frame, chest: Chest) -> Field:
    """Attenuation that air takes away, [side, side], before vessels and disease."""
    middle = int(np.searchsorted(frame.x[0], 0.0))
    halves = ((RIGHT, frame.x[:, :middle]), (LEFT, frame.x[:, middle:]))
    both: Field = np.concatenate([chest.air(side, x, frame.y) for side, x in halves], axis=1)
    return LUNG_DEPTH * both * (1 - heart(frame, chest))


def heart(frame: Frame, chest: Chest) -> Field:
    """Share of the lung's depth that the heart and great vessels fill, 0..1."""
    a, p = chest.anatomy, chest.positioning
    size = a.heart * (1.13 if p.view is View.AP else 1.0)
    base = 0.5 * (chest.dome[RIGHT] + chest.dome[LEFT])
    high = 0.93 + 0.1 * (a.heart_angle - 0.7)
    reach = 0.61 - 0.25 * (a.heart_angle - 0.7)
    knots = np.array(
        [
            (-0.05, -1.02), (-0.19, -0.82), (-0.285, -0.6), (-0.33, -0.36), (-0.27, -0.08), (-0.05, 0.12), (0.3, 0.12),
            (reach - 0.06, 0.04), (reach, -0.1), (reach - 0.06, -0.27), (reach - 0.17, -0.46), (0.31, -0.66),
            (0.235, -0.8), (0.12, -0.98), (-0.05, -1.02),
        ]
    )  # fmt: skip
    knots[:-1] += np.random.default_rng([a.shape_seed, 1]).normal(0, 0.018, (len(knots) - 1, 2))
    knots[-1] = knots[0]
    outline = curve(knots * (size, high * 0.5 * (1 + size)) + (0.06 * p.rotation, base), count=8)
    layer = Layer(frame)
    layer.area(outline)
    shape = layer.field()
    return shape * (0.42 + 0.5 * soften(shape, 0.11 * frame.unit))


def airways(frame: Frame, anatomy: Anatomy, positioning: Positioning) -> Field:
    """Attenuation that air in the trachea and main bronchi takes away from the mediastinum."""
    layer = Layer(frame)
    shift = anatomy.tracheal_shift + 0.04 * positioning.rotation - 0.015
    trachea = curve(np.array([(0, -1.9), (0.4 * shift, -1.2), (shift, -0.8), (shift, -0.36)]))
    layer.line(trachea, width=0.09 if anatomy.child else 0.105)
    for index, side in enumerate((RIGHT, LEFT)):
        end = (shift + side * 0.26, -0.17 - anatomy.hilar_lift[index] + (0.02 if side == LEFT else 0))
        layer.line(np.array([(shift + side * 0.01, -0.38), end]), width=0.075, value=0.65)
    return 0.2 * layer.field(blur=0.022)


def vessels(frame: Frame, chest: Chest) -> Field:
    """Share of air that branching vessels and hila replace, 0..1."""
    rng = np.random.default_rng(chest.anatomy.vessel_seed)
    fine, coarse = Layer(frame), Layer(frame)
    for index, side in enumerate((RIGHT, LEFT)):
        lift, size = chest.anatomy.hilar_lift[index], chest.anatomy.hila[index]
        root = np.array([side * 0.25, -0.04 - lift - (0.06 if side == LEFT else 0.0)])
        _grow(rng, fine, root=root, side=side, size=size)
        artery = curve(root + np.array([(-0.02, -0.09), (0.05, 0.0), (0.09, 0.12), (0.1, 0.3)]) * (side, 1))
        coarse.area(ribbon(artery, size * np.linspace(0.13, 0.05, len(artery))), value=0.8)
        knots = root + rng.normal(0, (0.035, 0.06), (7, 2)) + (side * 0.03, 0)
        coarse.discs(knots, radii=size * rng.uniform(0.025, 0.05, 7), values=rng.uniform(0.6, 1, 7))
    both: Field = np.maximum(0.75 * fine.field(), coarse.field(blur=0.022))
    return 0.42 * both


def _grow(rng: np.random.Generator, layer: Layer, *, root: Points, side: int, size: float) -> None:
    """Draw a tree: all branches of a generation at once, each turning a little and splitting in two."""
    heading = _TRUNKS + rng.normal(0, 0.14, len(_TRUNKS))
    start = root + np.stack([0.05 * side * np.cos(heading), 0.1 * np.sin(heading)], axis=1)
    width = size * rng.uniform(0.026, 0.044, len(heading))
    length = rng.uniform(0.14, 0.26, len(heading))
    for generation in range(4):
        bend = heading + rng.normal(0, 0.28, len(heading))
        middle = start + 0.5 * length[:, None] * np.stack([side * np.cos(heading), np.sin(heading)], axis=1)
        end = middle + 0.5 * length[:, None] * np.stack([side * np.cos(bend), np.sin(bend)], axis=1)
        shade = 0.8 * 0.76**generation * rng.uniform(0.6, 1, len(bend))
        layer.lines(np.stack([start, middle, end], axis=1), widths=width, values=shade)
        start = np.repeat(end, 2, axis=0)
        fork = rng.uniform(0.15, 0.6, len(bend))
        heading = np.stack([bend - fork, bend + rng.uniform(0.4, 1.1, len(bend)) * fork], axis=1).ravel()
        width = np.repeat(width, 2) * rng.uniform(0.5, 0.8, 2 * len(width))
        length = np.repeat(length, 2) * rng.uniform(0.6, 1.0, 2 * len(length))
