"""Soft tissue: trunk, neck, arms, a child's head, breasts, abdomen.

Every function returns attenuation along the beam, as a share of that through the middle of the trunk.
"""

import numpy as np

from cxr.imaging.phantom.anatomy import LEFT, RIGHT, Anatomy, Chest, Positioning
from cxr.imaging.phantom.fields import Field, bulge, ellipsoid, noise, smooth, unit
from cxr.imaging.phantom.frame import Frame, Points

_HEAD_ON_FILM = 7
"""Years below which the film usually catches the jaw."""


def trunk(frame: Frame, anatomy: Anatomy, positioning: Positioning) -> Field:
    """Neck, shoulders, chest wall, abdomen, arms and head, all solid."""
    x, y, fat = np.abs(frame.x), frame.y, anatomy.fat
    wall = 1 + fat + 0.62 * smooth((-y - 0.3) / 0.55)
    shoulder = -1.5 - 0.2 * fat + 0.3 * smooth((x - 0.2) / 1.3)
    thickness = 0.62 + 0.40 * smooth((y + 1.2) / 1.7)
    solid = np.sqrt(bulge((wall - x) / wall)) * np.sqrt(unit((y - shoulder) / 0.55)) * thickness
    neck_width = 0.36 + 0.3 * fat
    neck = 0.62 * bulge((neck_width - x) / neck_width) * smooth((-0.8 - y) / 0.3)
    body: Field = np.maximum(np.maximum(solid, neck), _arms(frame, anatomy, positioning))
    if anatomy.age < _HEAD_ON_FILM:
        body = np.maximum(body, _head(frame, anatomy, positioning))
    return body


def arm(anatomy: Anatomy, positioning: Positioning) -> tuple[Points, Points]:
    """Shoulder joint and elbow of the left arm, each [2]."""
    joint = np.array([1.34 + 0.4 * anatomy.fat, -0.98])
    angle = np.interp(positioning.arms, [-1, 0, 1], [1.42, 1.05, -0.75])
    return joint, joint + 1.9 * np.array([np.cos(angle), np.sin(angle)])


def _arms(frame: Frame, anatomy: Anatomy, positioning: Positioning) -> Field:
    joint, elbow = arm(anatomy, positioning)
    (across, down), length = (elbow - joint).tolist(), float(((elbow - joint) ** 2).sum())
    dx, dy = np.abs(frame.x) - float(joint[0]), frame.y - float(joint[1])
    share = unit((dx * across + dy * down) / length)
    dx, dy = dx - share * across, dy - share * down
    return 0.52 * bulge(1 - np.sqrt(dx * dx + dy * dy) / (0.24 + 0.25 * anatomy.fat))


def _head(frame: Frame, anatomy: Anatomy, positioning: Positioning) -> Field:
    """A small child's jaw, which the film often catches."""
    low = -1.66 + 0.03 * anatomy.age - 0.1 * positioning.inspiration
    place = (0.12 * positioning.rotation, low - 0.55)
    jaw = ellipsoid(frame.x, frame.y, centre=place, radii=(0.66, 0.72), angle=0.4 * positioning.tilt)
    rim = smooth(jaw / 0.35) * (1 - smooth((jaw - 0.35) / 0.4))
    return 0.78 * smooth(jaw / 0.6) + 0.07 * rim


def breasts(frame: Frame, anatomy: Anatomy) -> Field:
    """Breast shadows with their lower fold, or the fainter shadow of the pectoral muscles."""
    x = np.abs(frame.x)
    if anatomy.breast <= 0:
        return 0.035 * ellipsoid(x, frame.y, centre=(0.72, -0.2), radii=(0.5, 0.42), angle=-0.4)
    size = 0.42 + 0.22 * anatomy.breast
    drop = anatomy.breast_drop + 0.08 * anatomy.breast
    shape = ellipsoid(x, frame.y, centre=(0.66, drop - 0.25 * size), radii=(size, size * 0.9), angle=0.15)
    upper = smooth((frame.y - (drop - 1.1 * size)) / (0.9 * size))
    return (0.07 + 0.10 * anatomy.breast) * np.sqrt(shape) * upper


def abdomen(frame: Frame, chest: Chest, rng: np.random.Generator) -> Field:
    """What liver, stomach and bowel add or (gas) take away below the diaphragm."""
    floor = 0.5 * (chest.dome[RIGHT] + chest.dome[LEFT]) + 0.05
    below = smooth((frame.y - floor) / 0.15) * bulge((1.05 - np.abs(frame.x)) / 0.4)
    mottled = below * (0.04 + 0.012 * noise(rng, frame.side, cells=9, octaves=2))
    for _ in range(int(rng.integers(0, 4))):
        place = (rng.uniform(-0.7, 0.8), floor + rng.uniform(0.3, 0.8))
        radii = (rng.uniform(0.04, 0.16), rng.uniform(0.03, 0.08))
        gas = ellipsoid(frame.x, frame.y, centre=place, radii=radii, angle=rng.uniform(-1, 1))
        mottled = mottled - rng.uniform(0.05, 0.16) * gas * below
    size = chest.anatomy.stomach * rng.uniform(0.6, 1.2)
    if size > 0.05:
        place = (rng.uniform(0.3, 0.55), chest.dome[LEFT] + 0.09 + 0.8 * size)
        radii = (rng.uniform(1.1, 1.9) * size, size)
        bubble = ellipsoid(frame.x, frame.y, centre=place, radii=radii, angle=rng.uniform(-0.2, 0.5))
        under = smooth((frame.y - chest.diaphragm(LEFT, frame.x) - 0.04) / 0.03)
        mottled = mottled - rng.uniform(0.12, 0.26) * smooth(bubble / 0.6) * under
    return mottled
