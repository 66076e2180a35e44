"""Drawing disease: which share of the lung's air each lesion replaces."""

import numpy as np

from cxr.imaging.phantom.anatomy import LEFT, RIGHT, Chest
from cxr.imaging.phantom.disease import Cavity, Disease, Effusion, Miliary, Nodules, Opacity, Strands
from cxr.imaging.phantom.fields import Field, noise, smooth, turned, unit
from cxr.imaging.phantom.frame import Frame, Layer, Numbers, curve


def filled(frame: Frame, chest: Chest, disease: Disease) -> tuple[Field, Field]:
    """Share of the lung's air that disease replaces, and how much of each place belongs to a lesion.

    The second also counts the hollows of cavities and the lung between miliary seeds. Both are [side, side], 0..1.
    """
    rng = np.random.default_rng(disease.seed)
    cloud = _Clouds(frame, rng)
    airy: Field = np.ones((frame.side, frame.side), np.float32)
    belonging: Field = np.zeros_like(airy)
    for lesion in disease.lesions:
        match lesion:
            case Opacity():
                share = cloud.opacity(chest, lesion)
            case Cavity():
                share, hollow = cloud.cavity(chest, lesion)
                airy = airy + 0.8 * hollow * (1 - airy)
                belonging = np.maximum(belonging, hollow)
            case Nodules():
                share = _nodules(frame, chest, lesion, rng)
            case Miliary():
                share = _miliary(frame, chest, lesion, rng)
                belonging = np.maximum(belonging, lesion.density)
            case Strands():
                share = _strands(frame, chest, lesion, rng)
            case Effusion():
                share = _effusion(frame, chest, lesion)
        airy = airy * (1 - share)
    return 1 - airy, np.maximum(1 - airy, belonging)


class _Clouds:
    """Lesions with ragged outlines, which all come from two noises over the whole film."""

    def __init__(self, frame: Frame, rng: np.random.Generator) -> None:
        self._frame, self._rng = frame, rng
        self._outline = noise(rng, frame.side, cells=11, octaves=3)
        self._texture = unit(0.5 + 0.5 * noise(rng, frame.side, cells=26, octaves=3))

    def opacity(self, chest: Chest, lesion: Opacity) -> Field:
        frame = self._frame
        x0, y0 = chest.inside(lesion.side, *lesion.place).tolist()
        along, across = turned(frame.x, frame.y, centre=(x0, y0), angle=lesion.angle)
        along, across = along / lesion.radii[0], across / lesion.radii[1]
        distance = np.sqrt(along * along + across * across) + 0.32 * self._outline
        share = lesion.density * smooth((1.35 - distance) * lesion.sharp) * (1 - 0.6 * lesion.ragged * self._texture)
        if lesion.bronchograms:
            share = share * (1 - 0.5 * self._bronchi((x0, y0), lesion))
        one_lung: Field = share * (np.sign(frame.x) == lesion.side)
        return one_lung

    def cavity(self, chest: Chest, lesion: Cavity) -> tuple[Field, Field]:
        """Share of air replaced by the wall, and the hollow within."""
        frame = self._frame
        x0, y0 = chest.inside(lesion.side, *lesion.place).tolist()
        squash = self._rng.uniform(0.85, 1.18)
        dx, dy = (frame.x - x0) * squash, (frame.y - y0) / squash
        distance = np.sqrt(dx * dx + dy * dy) + 0.1 * lesion.radius * self._outline
        outside = smooth((lesion.radius - distance) / 0.04 + 0.5)
        inside = smooth((lesion.radius - lesion.wall - distance) / 0.035 + 0.5)
        ring = lesion.density * (1 - 0.35 * self._texture) * outside * (1 - 0.9 * inside)
        if lesion.fluid:
            ring = np.maximum(ring, 0.8 * lesion.density * outside * smooth((dy - 0.4 * lesion.radius) / 0.02))
        return ring, inside

    def _bronchi(self, centre: tuple[float, float], lesion: Opacity) -> Field:
        """Branches from the hilum into a consolidation."""
        rng, layer = self._rng, Layer(self._frame)
        root = np.array([lesion.side * 0.22, 0.02])
        towards = np.array(centre) - root
        step = np.linspace(0, np.linalg.norm(towards) + 0.8 * max(lesion.radii), 6)[:, None]
        heading = np.arctan2(towards[1], towards[0]) + rng.normal(0, 0.35, 7)
        bend = heading[:, None] + np.linspace(0, 1, 6) * rng.normal(0, 0.4, (7, 1))
        lines = root + step * np.stack([np.cos(bend), np.sin(bend)], axis=-1)
        layer.lines(lines, widths=rng.uniform(0.01, 0.02, 7), values=np.full(7, 0.9))
        return layer.field()


def _nodules(frame: Frame, chest: Chest, lesion: Nodules, rng: np.random.Generator) -> Field:
    spread = lesion.spread * rng.normal(0, 1, (lesion.count, 2)) * (1.2, 0.6)
    place = np.clip(np.asarray(lesion.place) + spread, 0.03, 0.97)
    layer = Layer(frame)
    radii = lesion.radius * rng.uniform(0.6, 1.5, lesion.count)
    layer.discs(chest.inside(lesion.side, *place.T), radii=radii, values=rng.uniform(0.5, 1, lesion.count))
    return lesion.density * layer.field(blur=0.6 * lesion.radius)


def _miliary(frame: Frame, chest: Chest, lesion: Miliary, rng: np.random.Generator) -> Field:
    layer, half = Layer(frame), lesion.count // 2
    for side in (RIGHT, LEFT):
        places = chest.inside(side, rng.random(half), rng.uniform(0.03, 1.0, half))
        layer.discs(places, radii=lesion.radius * rng.uniform(0.7, 1.4, half), values=rng.uniform(0.5, 1, half))
    return lesion.density * layer.field(blur=0.6 * lesion.radius)


def _strands(frame: Frame, chest: Chest, lesion: Strands, rng: np.random.Generator) -> Field:
    layer, count = Layer(frame), lesion.count

    def between(across: tuple[float, float], down: tuple[float, float]) -> Numbers:
        return chest.inside(lesion.side, rng.uniform(*across, count), rng.uniform(*down, count))

    start, end = between((0.02, 0.25), (0.38, 0.52)), between((0.2, 0.95), (0.04, 0.3))
    middle = 0.5 * (start + end) + rng.normal(0, 0.04, (count, 2))
    lines = np.stack([curve(np.stack(knots)) for knots in zip(start, middle, end, strict=True)])
    layer.lines(lines, widths=rng.uniform(0.012, 0.03, count), values=rng.uniform(0.5, 1, count))
    return lesion.density * layer.field(blur=0.01)


def _effusion(frame: Frame, chest: Chest, lesion: Effusion) -> Field:
    across = frame.x * lesion.side
    gap = np.abs(chest.lateral(lesion.side, frame.y) - across)
    climb = (0.45 * lesion.height + 0.12) * np.exp(-gap / 0.12)
    surface = chest.dome[lesion.side] + 0.10 - lesion.height - climb
    return lesion.density * smooth((frame.y - surface) / 0.06 + 0.3) * (across > 0)
