"""Radiographs of other parts: limbs, hands and feet, heads, abdomen and pelvis."""

import numpy as np

from cxr.imaging.gate.drawn.sheet import collimated, either_way, exposed, pose, sign
from cxr.imaging.phantom.fields import Field, bulge, bump, ellipsoid, noise, smooth, soften, turned
from cxr.imaging.preprocess import Film


def limb(side: int, rng: np.random.Generator) -> Film:
    """Two long bones and the joint between them, perhaps a thinner third, perhaps an implant."""
    x, y = pose(side, rng, turn=0.5)
    width, joint = rng.uniform(0.3, 0.75), rng.uniform(-0.5, 0.5)
    soft = rng.uniform(0.25, 0.55) * bulge((width * (1 + rng.uniform(-0.2, 0.2) * y) - np.abs(x)) / width)
    body = soft + 0.03 * noise(rng, side, cells=6, octaves=4) * smooth(soft / 0.1)
    for end in (-1, 1):
        flare = bump((y - joint - end * 0.16) / rng.uniform(0.12, 0.25))
        radius = rng.uniform(0.09, 0.17) + rng.uniform(0.12, 0.28) * flare
        along = smooth((end * (y - joint) - 0.04) / 0.06)
        depth = (radius - np.abs(x - rng.uniform(-0.05, 0.05))) / radius
        body = body + along * (0.28 * bulge(depth) + 0.25 * bump((depth - 0.15) / 0.1) * (depth > 0))
    if rng.random() < 0.5:
        beside = x - sign(rng) * rng.uniform(0.2, 0.35)
        body = body + 0.2 * bulge((0.06 - np.abs(beside)) / 0.05) * smooth(y - joint)
    if rng.random() < 0.45:
        body = body + _implant(x, y - joint, rng)
    return exposed(collimated(body, rng), rng)


def _implant(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """A metal cap over a joint at y = 0 and its stem."""
    cap = bulge((rng.uniform(0.15, 0.4) - np.abs(x)) / 0.1) * bump(y / rng.uniform(0.06, 0.2))
    stem = bulge((rng.uniform(0.04, 0.1) - np.abs(x)) / 0.05)
    stem = stem * smooth(sign(rng) * y / 0.1) * smooth((0.6 - np.abs(y)) / 0.1)
    return rng.uniform(0.8, 2.0) * np.maximum(smooth(cap / 0.3), stem)


def hand(side: int, rng: np.random.Generator) -> Film:
    """Rays of short bones from a wrist, or from an ankle."""
    x, y = pose(side, rng, turn=0.35)
    y = y * rng.uniform(0.9, 1.3) + rng.uniform(-0.1, 0.2)
    palm = ellipsoid(x, y, centre=(0, 0.35), radii=(rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.5)), angle=0.0)
    flesh = np.maximum(
        0.45 * bulge(palm / 0.6), 0.5 * bulge((rng.uniform(0.22, 0.34) - np.abs(x)) / 0.2) * smooth((y - 0.55) / 0.1)
    )
    bones = np.zeros_like(flesh)
    fingers, spread = int(rng.integers(4, 6)), rng.uniform(0.25, 0.6)
    for number in range(fingers):
        place = number - (fingers - 1) / 2
        along, across = turned(x, y, centre=(0.0, 0.62), angle=place * spread * rng.uniform(0.85, 1.1) - np.pi / 2)
        finger, inner = _finger(along, across, reach=rng.uniform(1.2, 1.6) - 0.17 * abs(place), rng=rng)
        flesh, bones = np.maximum(flesh, 0.3 * finger), np.maximum(bones, inner)
    for _ in range(int(rng.integers(4, 9))):
        centre = (rng.uniform(-0.22, 0.22), rng.uniform(0.5, 0.72))
        bones = np.maximum(bones, ellipsoid(x, y, centre=centre, radii=(0.08, 0.07), angle=0))
    for arm in (-1, 1):
        bones = np.maximum(bones, bulge((0.11 - np.abs(x - arm * 0.13)) / 0.1) * smooth((y - 0.78) / 0.04))
    body = soften(flesh + rng.uniform(0.25, 0.5) * bones, side / 110)
    return exposed(collimated(either_way(body, rng), rng), rng)


def _finger(along: Field, across: Field, *, reach: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Flesh and bones of one ray from 0 to `reach` along."""
    flesh = smooth((reach - along) / 0.1) * smooth((along - 0.2) / 0.1)
    flesh = flesh * bulge((rng.uniform(0.1, 0.14) - np.abs(across)) / 0.09)
    length = reach / rng.uniform(3.4, 4.2)
    place = (along % length) / length
    waist = 0.045 + 0.03 * (2 * np.abs(place - 0.5)) ** 2
    bone = bulge((waist - np.abs(across)) / 0.05) * smooth((place - 0.06) / 0.05) * smooth((0.97 - place) / 0.05)
    return flesh, bone * smooth((reach - 0.08 - along) / 0.03) * smooth((along - 0.22) / 0.03)


def skull(side: int, rng: np.random.Generator) -> Film:
    """A closed shell of bone with cavities, on a neck."""
    x, y = pose(side, rng, turn=0.3)
    shell = ellipsoid(x, y, centre=(0, -0.1), radii=(rng.uniform(0.5, 0.8), rng.uniform(0.6, 0.85)), angle=0)
    body = 0.5 * shell + 0.7 * bump((shell - 0.25) / 0.12) * (shell > 0)
    for _ in range(int(rng.integers(2, 8))):
        spot = ellipsoid(
            x,
            y,
            centre=(rng.uniform(-0.4, 0.4), rng.uniform(-0.1, 0.6)),
            radii=(rng.uniform(0.05, 0.25), rng.uniform(0.04, 0.2)),
            angle=rng.uniform(0, 3),
        )
        body = body + rng.uniform(-0.3, 0.35) * smooth(spot / 0.4)
    body = body + 0.4 * bulge((0.3 - np.abs(x)) / 0.2) * smooth((y - 0.5) / 0.15)
    return exposed(either_way(body + 0.04 * noise(rng, side, cells=8, octaves=4), rng), rng)


def pelvis(side: int, rng: np.random.Generator) -> Film:
    """Bright all over, with a spine, often with wings and a ring of bone, and pockets of gas."""
    x, y = pose(side, rng, turn=0.1)
    width, low = rng.uniform(0.75, 1.2), rng.uniform(0.0, 0.6)
    body = rng.uniform(0.6, 0.9) * np.sqrt(bulge((width - np.abs(x)) / width))
    body = body + 0.04 * noise(rng, side, cells=7, octaves=5)
    vertebrae = 1 + 0.3 * np.cos(2 * np.pi * y / rng.uniform(0.2, 0.3))
    spine = bulge((0.14 - np.abs(x)) / 0.1) * vertebrae * smooth((rng.uniform(0.1, 1.0) - y) / 0.1)
    body = body + rng.uniform(0.15, 0.3) * spine
    if rng.random() < 0.5:
        centre, angle = (rng.uniform(0.4, 0.6), low), rng.uniform(0.5, 1.1)
        wings = ellipsoid(np.abs(x), y, centre=centre, radii=(0.4, 0.3), angle=angle)
        ring = ellipsoid(np.abs(x), y, centre=(0.25, low + 0.45), radii=(0.2, 0.22), angle=0)
        body = body + 0.25 * (smooth(wings / 0.5) + bump((ring - 0.3) / 0.15))
    for _ in range(int(rng.integers(2, 12))):
        centre = (rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.8))
        radii = (rng.uniform(0.05, 0.25), rng.uniform(0.04, 0.14))
        gas = ellipsoid(x, y, centre=centre, radii=radii, angle=rng.uniform(0, 3))
        body = body - rng.uniform(0.1, 0.35) * smooth(gas / 0.5)
    return exposed(body, rng)
