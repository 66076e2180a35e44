"""Bones: ribs with cortical edges, spine, clavicles, scapulae, humeri.

Every function returns attenuation along the beam, as a share of that through the middle of the trunk.
"""

import numpy as np

from cxr.domain import View
from cxr.imaging.phantom.anatomy import LEFT, RIGHT, Anatomy, Chest, Positioning
from cxr.imaging.phantom.body import arm
from cxr.imaging.phantom.fields import Field, bump, smooth
from cxr.imaging.phantom.frame import Frame, Layer, Numbers, Points, curve, ribbon

_RIBS = 11
_RIB_POINTS = 24


class _Tubes:
    """Hollow bones of one depth: the wall (cortex) is seen on edge and so brighter than the marrow between."""

    def __init__(self, frame: Frame, *, wall: float) -> None:
        self._outer, self._inner, self._wall = Layer(frame), Layer(frame), wall

    def add(self, points: Points, width: Numbers) -> None:
        """Draw tubes along lines [n, 2] or [lines, n, 2] of a width that varies along them [n]."""
        self._outer.area(ribbon(points, width))
        self._inner.area(ribbon(points, np.maximum(width - 2 * self._wall, 0.2 * width)))

    def plate(self, outline: Points) -> None:
        """A thin flat bone with a rim, given by its closed outline [n, 2]."""
        middle = outline.mean(axis=0)
        self._outer.area(outline)
        self._inner.area(middle + (outline - middle) * (1 - 1.6 * self._wall / np.abs(outline - middle).max()))

    def field(self, *, marrow: float, blur: float = 0.0) -> Field:
        """Thickness of bone, 1 in the cortex and `marrow` between."""
        return self._outer.field(blur=blur) - (1 - marrow) * self._inner.field(blur=blur)


def ribs(frame: Frame, chest: Chest) -> Field:
    """Pairs of ribs, projected from tilted rings: the back arcs bright and level, the front arcs faint and steep."""
    a = chest.anatomy
    back, front = _Tubes(frame, wall=0.016), _Tubes(frame, wall=0.013)
    for side in (RIGHT, LEFT):
        behind, before = _rib_arcs(chest, side)
        back.add(behind, a.rib_width * (0.8 + 0.2 * np.sin(np.linspace(0.2, 0.8 * np.pi, _RIB_POINTS))))
        front.add(before[1:9], a.rib_width * np.linspace(0.95, 1.2, _RIB_POINTS))
    cartilage = smooth((np.abs(frame.x) - 0.42) / 0.3)
    return 0.1 * a.rib_density * (back.field(marrow=0.66) + 0.6 * cartilage * front.field(marrow=0.8))


def _rib_arcs(chest: Chest, side: int) -> tuple[Points, Points]:
    """Centre lines of the back and the front arcs of one side's ribs, each [ribs, points, 2]."""
    a = chest.anatomy
    uneven = np.random.default_rng([a.shape_seed, side + 1]).normal(0, 1, (2, _RIBS))
    number = np.arange(_RIBS)
    top = a.rib_start + number * a.rib_spacing + 0.01 * uneven[0]
    drop = a.rib_slope * (0.72 + 0.065 * np.minimum(number, 8)) + 0.03 * uneven[1]
    reach = chest.lateral(side, (top + 0.45 * drop).astype(np.float32)).astype(np.float64) + 0.015
    reach[0] *= 0.92

    def arcs(share: Numbers) -> Points:
        start = np.arcsin(0.11 / reach)[:, None]
        turn = start + (0.84 * np.pi - start) * share
        x = side * reach[:, None] * np.sin(turn) ** 0.9
        arch = 0.045 * np.sin(2 * turn) * (turn < np.pi / 2)
        return np.stack([x, top[:, None] - arch + drop[:, None] * (1 - np.cos(turn)) / 2], axis=-1)

    return arcs(np.linspace(0, 0.6, _RIB_POINTS)), arcs(np.linspace(0.54, 1, _RIB_POINTS))


def spine(frame: Frame, anatomy: Anatomy, positioning: Positioning) -> Field:
    """Vertebral bodies with end plates and pedicles, and the spinous processes; faint in the neck."""
    x, y = frame.x - 0.02 * positioning.rotation, frame.y
    edge = smooth((0.115 + 0.015 * smooth((y + 0.5) / 1.5) - np.abs(x)) / 0.035)
    phase = (y - anatomy.rib_start) / (anatomy.rib_spacing * 0.97)
    within = np.abs(phase - np.round(phase))
    body = edge * (0.12 + 0.035 * bump((within - 0.40) / 0.05) - 0.05 * bump((within - 0.5) / 0.04))
    pedicles = 0.05 * bump((np.abs(frame.x) - 0.075) / 0.022) * bump(within / 0.17)
    process = (frame.x + 0.05 * positioning.rotation) / 0.018
    processes = 0.04 * bump(process) * bump((within - 0.25) / 0.16)
    return (body + pedicles + processes) * (0.4 + 0.6 * smooth((y + 0.9) / 0.6))


def shoulder_girdle(frame: Frame, chest: Chest) -> Field:
    """Clavicles, scapulae and humeri."""
    a, p = chest.anatomy, chest.positioning
    tubes, plates = _Tubes(frame, wall=0.02), _Tubes(frame, wall=0.022)
    for side in (RIGHT, LEFT):
        mirror = np.array([side, 1.0])
        clavicle = curve(_clavicle(a, p, side) * mirror)
        share = np.linspace(0, 1, len(clavicle))
        tubes.add(clavicle, np.interp(share, [0, 0.12, 0.5, 0.92, 1], [0.13, 0.1, 0.075, 0.1, 0.05]))
        joint, elbow = (end * mirror for end in arm(a, p))
        humerus = curve(np.stack([joint, joint + 0.18 * (elbow - joint), elbow]))
        share = np.linspace(0, 1, len(humerus))
        tubes.add(humerus, np.interp(share, [0, 0.15, 0.3, 1], [0.26, 0.22, 0.13, 0.12]))
        _scapula(plates, p, mirror)
    bone = 0.13 * a.rib_density
    return bone * tubes.field(marrow=0.62) + 0.075 * plates.field(marrow=0.6)


def _clavicle(anatomy: Anatomy, positioning: Positioning, side: int) -> Points:
    inner = 0.10 + side * 0.06 * positioning.rotation
    rise = anatomy.clavicle + (0.12 if positioning.view is View.AP else 0) - 0.15 * max(positioning.arms, 0)
    return np.array(
        [(inner, -0.84), (inner + 0.3, -0.86 - 0.3 * rise), (0.85, -0.94 - 0.5 * rise), (1.22, -0.97 - 0.6 * rise)]
    )


def _scapula(plates: _Tubes, positioning: Positioning, mirror: Points) -> None:
    """The blade as a triangle with its spine; over the lung in AP films."""
    away = (0.98 if positioning.view is View.PA else 0.74) + 0.12 * max(positioning.arms, 0)
    blade = np.array(
        [
            (away + 0.02, -0.95), (away - 0.02, -0.6), (away + 0.05, -0.2), (away + 0.16, 0.02), (away + 0.25, -0.3),
            (1.2, -0.75), (1.12, -1.0), (away + 0.02, -0.95),
        ]
    )  # fmt: skip
    plates.plate(curve(blade * mirror, count=8))
    ridge = curve(np.array([(away + 0.02, -0.72), (away + 0.2, -0.86), (1.28, -1.08)]) * mirror)
    plates.add(ridge, np.full(len(ridge), 0.08))
