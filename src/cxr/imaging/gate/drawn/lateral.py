"""A chest from the side."""

from dataclasses import dataclass

import numpy as np

from cxr.imaging.gate.drawn.sheet import collimated, either_way, exposed, pose
from cxr.imaging.phantom.fields import Field, bulge, bump, ellipsoid, noise, smooth
from cxr.imaging.preprocess import Film


@dataclass(frozen=True, eq=False, kw_only=True)
class _Trunk:
    """Outline of a trunk that faces left: x of breast and back by height, depth under the skin, and the diaphragm."""

    x: Field
    y: Field
    front: Field
    back: Field
    inside: Field
    floor: float


def lateral_chest(side: int, rng: np.random.Generator) -> Film:
    """Spine behind, breastbone in front, one field of air with the heart in it over a slanting diaphragm."""
    trunk = _trunk(side, rng)
    belly = smooth((trunk.y - trunk.floor + 0.25) / 0.6)
    solid = np.sqrt(bulge(trunk.inside / rng.uniform(0.3, 0.7)))
    solid = solid * (rng.uniform(0.55, 0.8) + rng.uniform(0.2, 0.45) * belly)
    heart = ellipsoid(
        trunk.x,
        trunk.y,
        centre=(float(trunk.front.mean()) + rng.uniform(0.3, 0.6), trunk.floor - rng.uniform(0.15, 0.4)),
        radii=(rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.45)),
        angle=rng.uniform(-0.7, 0.7),
    )
    air = _air(trunk, rng) * (1 - rng.uniform(0.4, 0.9) * smooth(heart / 0.6))
    body = solid - rng.uniform(0.3, 0.65) * air + _arms(trunk, rng) + _bones(trunk, rng)
    body = body + rng.uniform(0.01, 0.05) * noise(rng, side, cells=9, octaves=4) * smooth(trunk.inside / 0.1)
    return exposed(collimated(either_way(body, rng), rng), rng)


def _trunk(side: int, rng: np.random.Generator) -> _Trunk:
    x, y = pose(side, rng, turn=0.12)
    lean = rng.uniform(-0.12, 0.12)
    back = rng.uniform(0.5, 0.95) + rng.uniform(0.05, 0.25) * bump((y + rng.uniform(0, 0.3)) / 0.5) - lean * y
    front = -rng.uniform(0.4, 0.85) - rng.uniform(0.0, 0.35) * bump((y - 0.15) / 0.4) - lean * y
    front = front + rng.uniform(0.2, 0.5) * smooth((-y - rng.uniform(0.4, 0.7)) / 0.6)
    inside = np.minimum(back - x, x - front)
    return _Trunk(x=x, y=y, front=front, back=back, inside=inside, floor=rng.uniform(0.2, 0.75))


def _air(trunk: _Trunk, rng: np.random.Generator) -> Field:
    """Both lungs, over domes that are high in front and fall to a deep angle behind."""
    x, y, top = trunk.x, trunk.y, rng.uniform(-1.1, -0.75)
    depth = np.minimum(trunk.back - rng.uniform(0.02, 0.3) - x, x - trunk.front - rng.uniform(0.04, 0.25))
    air: Field = np.zeros_like(depth)
    for _ in range(2):
        dome = (
            trunk.floor + rng.uniform(-0.12, 0.08) + rng.uniform(0.1, 0.5) * smooth((x - rng.uniform(-0.1, 0.2)) / 0.8)
        )
        dome = dome + rng.uniform(0, 0.25) * smooth((-x - 0.2) / 0.5)
        ceiling = smooth((y - top - rng.uniform(0, 0.5) * np.abs(x)) / rng.uniform(0.2, 0.6))
        lung = smooth(depth / rng.uniform(0.06, 0.3)) * smooth((dome - y) / rng.uniform(0.04, 0.12))
        air = air + 0.5 * lung * ceiling
    return air


def _arms(trunk: _Trunk, rng: np.random.Generator) -> Field:
    """Shoulders and raised arms over the upper lung, now and then out of the film."""
    reach, at, width = rng.uniform(0.45, 0.95), rng.uniform(-0.5, 0.4), rng.uniform(0.25, 0.7)
    low = smooth((-trunk.y - reach + 0.2) / 0.35)
    arms: Field = rng.uniform(0, 0.7) * low * bulge((width - np.abs(trunk.x - at)) / width)
    return arms


def _bones(trunk: _Trunk, rng: np.random.Generator) -> Field:
    """Vertebrae, breastbone, and ribs that slant down to the front, twice since both flanks are seen."""
    x, y, pitch = trunk.x, trunk.y, rng.uniform(0.13, 0.2)
    at, width = trunk.back - rng.uniform(0.12, 0.34), rng.uniform(0.07, 0.12)
    bodies = 0.5 + 0.5 * np.cos(2 * np.pi * (y / pitch + rng.uniform(0, 1)))
    bones: Field = bulge((width - np.abs(x - at)) / width) * (rng.uniform(0.04, 0.2) + rng.uniform(0.04, 0.14) * bodies)
    bones = bones * smooth((trunk.inside - 0.02) / 0.06)
    bones = bones + rng.uniform(0, 0.2) * bump((x - trunk.front - 0.06) / 0.035) * smooth((trunk.floor - y) / 0.2)
    slope, spacing = rng.uniform(0.2, 0.9), rng.uniform(0.14, 0.24)
    phase = y + slope * x + rng.uniform(-0.2, 0.2) * x * x
    low = smooth((trunk.floor + 0.25 - y) / 0.2) * smooth(trunk.inside / 0.1)
    for _ in range(2):
        wave = np.cos(2 * np.pi * (phase / spacing + rng.uniform(0, 1)))
        bones = bones + rng.uniform(0.01, 0.07) * smooth((wave - rng.uniform(0.3, 0.7)) / 0.25) * low
    return bones
