"""Tomographic slices, and radiographs of nothing in particular."""

import numpy as np

from cxr.imaging.gate.drawn.sheet import exposed, grid, pose, windowed
from cxr.imaging.phantom.fields import Field, bulge, bump, ellipsoid, noise, smooth, turned
from cxr.imaging.preprocess import Film


def slice_of_body(side: int, rng: np.random.Generator) -> Film:
    """An ellipse on black or white, with lungs, organs, a spine and a table, in a soft-tissue or a lung window."""
    x, y = pose(side, rng, turn=0.12)
    tall = rng.uniform(0.5, 0.95)
    body = ellipsoid(x, y, centre=(0, 0), radii=(rng.uniform(0.75, 1.25), tall), angle=0)
    inside = smooth(body / 0.12)
    grey = inside * (0.55 + 0.03 * noise(rng, side, cells=10, octaves=4))
    if rng.random() < 0.5:
        grey = grey + 0.25 * bump((body - 0.25) / 0.1)
    if rng.random() < 0.6:
        grey = _with_lungs(grey, x, y, tall=tall, rng=rng)
    for _ in range(int(rng.integers(1, 7))):
        centre, radii = (rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.4)), rng.uniform(0.1, 0.33, 2)
        organ = ellipsoid(x, y, centre=centre, radii=(float(radii[0]), float(radii[1])), angle=rng.uniform(0, 3))
        grey = grey + rng.uniform(-0.2, 0.35) * smooth(organ / 0.3) * inside
    vertebra = ellipsoid(x, y, centre=(0, 0.62 * tall), radii=(0.15, 0.13), angle=0)
    grey = grey + rng.uniform(0.2, 0.6) * smooth(vertebra / 0.3)
    if rng.random() < 0.4:
        grey = grey + 0.3 * bump((y - tall - 0.08 - 0.1 * x * x) / 0.02)
    outside = float(rng.random() < 0.33)
    return windowed(np.where(body > 0, grey, np.maximum(grey, outside)), rng)


def _with_lungs(grey: Field, x: Field, y: Field, *, tall: float, rng: np.random.Generator) -> Field:
    gap = rng.uniform(0.38, 0.55)
    for flank in (-1, 1):
        lung = ellipsoid(
            x,
            y,
            centre=(flank * gap, rng.uniform(-0.1, 0.1)),
            radii=(rng.uniform(0.28, 0.42), rng.uniform(0.4, 0.62) * tall / 0.75),
            angle=flank * rng.uniform(-0.3, 0.3),
        )
        air = smooth(lung / 0.25)
        vessels = smooth((noise(rng, len(grey), cells=18, octaves=2) - 1.1) / 0.4)
        grey = grey * (1 - air) + air * (0.05 + rng.uniform(0.1, 0.5) * vessels)
    return grey


def any_radiograph(side: int, rng: np.random.Generator) -> Film:
    """Overlapping ellipsoids and rods, some of them holes; half of the pictures are symmetric."""
    x, y = (axis + np.zeros((side, side), np.float32) for axis in grid(side))
    if rng.random() < 0.5:
        x = np.abs(x)
    body = np.full((side, side), rng.uniform(0, 0.3), np.float32)
    for _ in range(int(rng.integers(3, 16))):
        centre, angle = (rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.9)), rng.uniform(0, np.pi)
        if rng.random() < 0.6:
            radii = (rng.uniform(0.08, 0.8), rng.uniform(0.08, 0.8))
            shape = ellipsoid(x, y, centre=centre, radii=radii, angle=angle)
        else:
            along, across = turned(x, y, centre=centre, angle=angle)
            radius = rng.uniform(0.03, 0.25)
            shape = bulge((radius - np.abs(across)) / radius) * smooth((rng.uniform(0.3, 1.2) - np.abs(along)) / 0.1)
        density = 1.0 if rng.random() < 0.75 else -0.4
        body = body + density * rng.uniform(0.1, 0.7) * shape
    return exposed(np.maximum(body, 0) + 0.03 * noise(rng, side, cells=8, octaves=4), rng)
