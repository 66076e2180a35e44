"""What a camera or a screen shows, and what shows nothing."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cxr.imaging.gate.drawn.sheet import grid, windowed
from cxr.imaging.phantom.fields import Field, noise, soften, turned
from cxr.imaging.preprocess import Film


def scene(side: int, rng: np.random.Generator) -> Film:
    """Surfaces that hide one another (dead leaves, Lee et al. 2001), each of its own texture, under one light."""
    x, y = grid(side)
    grey = rng.uniform(0, 1) + 0.2 * noise(rng, side, cells=3, octaves=6, persistence=rng.uniform(0.4, 0.9))
    for _ in range(int(rng.integers(0, 40))):
        size = 0.08 / rng.uniform(0.07, 1.0) ** 1.2
        centre = (rng.uniform(-1, 1), rng.uniform(-1, 1))
        along, across = turned(x, y, centre=centre, angle=rng.uniform(0, np.pi))
        surface = rng.uniform(0, 1) + rng.uniform(-0.3, 0.3) * along
        if rng.random() < 0.4:
            surface = surface + rng.uniform(0, 0.25) * noise(rng, side, cells=rng.uniform(3, 20), octaves=3)
        grey = np.where(_leaf(along, across, size, rng), surface, grey)
    light = 1 + rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y
    return windowed(soften(grey * light, rng.uniform(0.2, 1.2)), rng)


def _leaf(along: Field, across: Field, size: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A mask: an ellipse, a rectangle or a bar."""
    ratio, kind = rng.uniform(0.3, 1.0), rng.random()
    if kind < 0.4:
        return (along / size) ** 2 + (across / (size * ratio)) ** 2 < 1
    if kind < 0.8:
        return (np.abs(along) < size) & (np.abs(across) < size * ratio)
    return (np.abs(across) < 0.15 * size) & (np.abs(along) < 4 * size)


def page(side: int, rng: np.random.Generator) -> Film:
    """Lines of text, boxes and buttons on paper or on a screen, dark on light or light on dark."""
    wide = 2 * side
    paper = int(rng.integers(180, 256)) if rng.random() < 0.6 else int(rng.integers(0, 70))
    picture = Image.new("L", (wide, wide), paper)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 9))):
        left, top = (int(place) for place in rng.integers(0, wide, 2))
        box = (left, top, left + int(rng.integers(side // 8, wide)), top + int(rng.integers(side // 16, side)))
        pen.rounded_rectangle(box, radius=int(rng.integers(0, side // 8)), fill=int(rng.integers(0, 256)))
    line, top = int(rng.integers(side // 24 + 2, side // 6)), int(rng.integers(0, side // 2))
    while top < wide:
        if rng.random() < 0.75:
            left = int(rng.integers(0, side // 3))
            end = left + int(rng.integers(side // 6, wide))
            _write_line(pen, left, end, top=top, height=line, ink=255 - paper, rng=rng)
        top += line
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def _write_line(
    pen: ImageDraw.ImageDraw, left: int, end: int, *, top: int, height: int, ink: int, rng: np.random.Generator
) -> None:
    """Words as rows of upright strokes, which is what text is at this size."""
    while left < end:
        width = int(rng.integers(max(2, height // 4), 3 * height))
        tall = max(1, int(height * rng.uniform(0.35, 0.6)))
        for at in range(left, left + width, max(2, tall // 2)):
            if rng.random() < 0.8:
                stroke = (at, top + int(rng.integers(0, tall)), at, top + tall)
                pen.line(stroke, fill=ink, width=max(1, tall // 4))
        left += width + height // 3


def gradient(side: int, rng: np.random.Generator) -> Film:
    """Nearly nothing: a slope, a vignette, an exposure without a patient, grain."""
    x, y = grid(side)
    grey = rng.uniform(-1, 1) * x + rng.uniform(-1, 1) * y + rng.uniform(-1, 1) * (x * x + y * y)
    grey = grey + rng.uniform(0, 0.4) * noise(rng, side, cells=rng.uniform(2, 12), octaves=int(rng.integers(1, 6)))
    if rng.random() < 0.4:
        left, right, top, bottom = rng.uniform(0.2, 0.95, 4).tolist()
        grey = np.where((x > -left) & (x < right) & (y > -top) & (y < bottom), grey, grey.min())
    return windowed(grey + rng.uniform(0, 0.3) * rng.standard_normal((side, side), np.float32), rng)
