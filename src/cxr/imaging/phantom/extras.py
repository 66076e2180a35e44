"""What healthy and sick films share and no finding explains: leads, tubes, skin folds, calcified cartilage, nipples.

Every function returns attenuation along the beam, as a share of that through the middle of the trunk. Nothing here may
depend on the finding, or it would give the finding away.
"""

import numpy as np

from cxr.domain import Sex, View
from cxr.imaging.phantom.anatomy import LEFT, RIGHT, Chest
from cxr.imaging.phantom.fields import Field, bump, smooth
from cxr.imaging.phantom.frame import Frame, Layer, Points, curve


def extras(frame: Frame, chest: Chest, rng: np.random.Generator) -> Field:
    """Draw a random choice of devices and harmless shadows; AP films carry more devices."""
    a, lying = chest.anatomy, chest.positioning.view is View.AP
    metal, thin = Layer(frame), Layer(frame)
    if rng.random() < (0.3 if lying else 0.05):
        _leads(metal, thin, rng)
    if rng.random() < (0.2 if lying else 0.03):
        thin.line(_central_line(rng), width=0.018, value=0.9)
    if rng.random() < (0.15 if lying else 0.02):
        knots = np.array([(0.0, -2.0), (0.02, -1.0), (-0.02, -0.3), (0.05, 0.4), (0.16, 0.85), (0.5, 1.05)])
        thin.line(curve(knots + rng.normal(0, 0.02, knots.shape)), width=0.022, value=0.7)
    if not a.child and rng.random() < 0.03:
        _pacemaker(metal, thin, rng)
    if rng.random() < 0.25:
        thin.line(_fissure(chest, rng), width=0.01, value=0.22)
    if a.age > 45 and rng.random() < 0.4:
        _cartilage(thin, rng)
    total = 0.45 * metal.field() + 0.2 * thin.field()
    if a.sex is Sex.MALE and not a.child and rng.random() < 0.12:
        total = total + _nipples(frame, rng)
    if rng.random() < (0.3 if lying else 0.08):
        total = total + _skin_fold(frame, rng)
    return total


def _leads(metal: Layer, thin: Layer, rng: np.random.Generator) -> None:
    """ECG electrodes with their wires running off the film."""
    count = int(rng.integers(2, 5))
    spots = np.array([(-0.75, -0.7), (0.75, -0.72), (0.8, 0.45), (-0.8, 0.5)])[:count] + rng.normal(0, 0.12, (count, 2))
    metal.discs(spots, radii=np.full(count, 0.04), values=np.full(count, 0.5))
    metal.discs(spots, radii=np.full(count, 0.018), values=np.full(count, 1.0))
    for spot in spots:
        outward = float(np.sign(spot[0]))
        away = spot + np.array([outward * rng.uniform(0.1, 0.7), rng.uniform(0.5, 1.1)])
        end = np.array([outward * rng.uniform(0.3, 1.7), 1.9])
        wire = np.stack([spot, 0.5 * (spot + away) + rng.normal(0, 0.12, 2), away, end])
        thin.line(curve(wire), width=0.014, value=0.7)


def _central_line(rng: np.random.Generator) -> Points:
    """A venous catheter from the neck or from below a clavicle to the superior vena cava."""
    side = RIGHT if rng.random() < 0.75 else LEFT
    tip = (-0.13, rng.uniform(-0.2, 0.1))
    if rng.random() < 0.5:
        knots = np.array([(side * 0.4, -1.7), (side * 0.22, -1.2), (side * 0.16, -0.8), tip])
    else:
        inner = -0.13 if side == RIGHT else 0.02
        knots = np.array([(side * 1.3, -0.7), (side * 0.8, -0.95), (side * 0.3, -0.82), (inner, -0.6), tip])
    return curve(knots + rng.normal(0, 0.015, knots.shape))


def _pacemaker(metal: Layer, thin: Layer, rng: np.random.Generator) -> None:
    x, y = 0.75 + rng.normal(0, 0.06), -0.68 + rng.normal(0, 0.05)
    angle = np.linspace(0, 2 * np.pi, 40)
    metal.area(np.stack([x + 0.13 * np.cos(angle), y + 0.11 * np.sin(angle)], axis=1), value=0.9)
    lead = np.array([(x, y), (0.45, -0.85), (0.0, -0.75), (-0.16, -0.2), (0.0, 0.4), (0.3, 0.55)])
    thin.line(curve(lead), width=0.022)


def _fissure(chest: Chest, rng: np.random.Generator) -> Points:
    """The horizontal fissure of the right lung, seen edge on."""
    down = rng.uniform(0.5, 0.6)
    ends = chest.inside(RIGHT, np.array([0.25, 0.6, 0.97]), down + np.array([0, -0.01, rng.uniform(-0.03, 0.05)]))
    return curve(ends)


def _cartilage(thin: Layer, rng: np.random.Generator) -> None:
    """Speckled calcification where the first ribs meet the breast bone."""
    for side in (RIGHT, LEFT):
        spots = np.array([side * 0.33, -0.62]) + rng.normal(0, 0.04, (14, 2))
        thin.discs(spots, radii=rng.uniform(0.006, 0.018, 14), values=rng.uniform(0.2, 0.6, 14))


def _nipples(frame: Frame, rng: np.random.Generator) -> Field:
    across, down = 0.6 + rng.normal(0, 0.05), 0.42 + rng.normal(0, 0.06)
    x, y = np.abs(frame.x) - across, frame.y - down
    return 0.07 * smooth((0.036 - np.sqrt(x * x + y * y)) / 0.02)


def _skin_fold(frame: Frame, rng: np.random.Generator) -> Field:
    """A broad faint band with one sharp edge, running down one side."""
    side = 1 if rng.random() < 0.5 else -1
    distance = frame.x * side - rng.uniform(0.5, 0.95) - rng.normal(0, 0.25) * frame.y + 0.08 * frame.y * frame.y
    band = smooth(distance / 0.02) * np.exp(-np.maximum(distance, 0) / 0.18)
    return rng.uniform(0.025, 0.06) * band * bump((frame.y - rng.uniform(-0.2, 0.4)) / 0.5)
