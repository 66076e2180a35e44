"""Films made wrong: turned, upside down, cut, torn apart. What a service must refuse, made from films themselves."""

import numpy as np
from PIL import Image

from cxr.imaging.gate.drawn.sheet import sign
from cxr.imaging.preprocess import Film


def turned(film: Film, rng: np.random.Generator) -> Film:
    """On its side or on its head, perhaps a little askew, perhaps mirrored."""
    turns = int(rng.integers(1, 4))
    picture = np.rot90(film, turns)
    if rng.random() < 0.3:
        picture = picture[:, ::-1]
    if rng.random() < 0.5:
        picture = _askew(picture, rng.uniform(-12, 12))
    return np.ascontiguousarray(picture)


def upside_down(film: Film, rng: np.random.Generator) -> Film:
    """Mirrored top to bottom."""
    return np.ascontiguousarray(film[::-1])


def tilted(film: Film, rng: np.random.Generator) -> Film:
    """Turned by 30 to 150 degrees either way, the corners cut or the sheet larger."""
    whole = rng.random() < 0.5
    picture = Image.fromarray(film).rotate(sign(rng) * rng.uniform(30, 150), Image.Resampling.BILINEAR, expand=whole)
    return _fit(np.asarray(picture), len(film))


def half(film: Film, rng: np.random.Generator) -> Film:
    """One lung with the spine beside it, which is what a lateral film looks like from afar."""
    side = len(film)
    width = int(side * rng.uniform(0.36, 0.56))
    start = int(side * rng.uniform(0.0, 0.1))
    left = start if rng.random() < 0.5 else side - width - start
    top, bottom = int(side * rng.uniform(0, 0.12)), int(side * rng.uniform(0.85, 1.0))
    part = film[top:bottom, left : left + width]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return _framed(part, side, rng) if rng.random() < 0.6 else _fit(part, side)


def close_up(film: Film, rng: np.random.Generator) -> Film:
    """A close-up that shows no two lungs."""
    side = len(film)
    width, height = (int(side * rng.uniform(0.14, 0.42)) for _ in range(2))
    left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
    return _fit(film[top : top + height, left : left + width], side)


def band(film: Film, rng: np.random.Generator) -> Film:
    """The neck and shoulders, or the abdomen, without the lungs."""
    side = len(film)
    height = int(side * rng.uniform(0.2, 0.34))
    part = film[:height] if rng.random() < 0.5 else film[side - height :]
    return _fit(part, side)


def shuffled(film: Film, rng: np.random.Generator) -> Film:
    """Its tiles in another order."""
    side, tiles = len(film), int(rng.integers(2, 5))
    step = side // tiles
    cut = film[: step * tiles, : step * tiles].reshape(tiles, step, tiles, step).swapaxes(1, 2)
    parts = cut.reshape(tiles * tiles, step, step)
    order = rng.permutation(len(parts))
    if (order == np.arange(len(parts))).all():
        order = order[::-1]
    mixed = parts[order].reshape(tiles, tiles, step, step).swapaxes(1, 2)
    return _fit(mixed.reshape(step * tiles, step * tiles), side)


def small_on_page(film: Film, rng: np.random.Generator) -> Film:
    """A small picture of a film on a page or on a screen."""
    side = len(film)
    page = np.full((side, side), rng.integers(0, 256), np.uint8)
    width, height = (int(side * rng.uniform(0.12, 0.42)) for _ in range(2))
    left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
    page[top : top + height, left : left + width] = _fit(film, width, height)
    return page


def negative(film: Film, rng: np.random.Generator) -> Film:
    """Air bright."""
    return 255 - film


def swirled(film: Film, rng: np.random.Generator) -> Film:
    """Swirled about a point until no lung is left."""
    side = len(film)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    cx, cy = rng.uniform(0.35, 0.65, 2)
    radius = np.hypot(x - cx, y - cy)
    angle = sign(rng) * rng.uniform(2.0, 5.0) * np.exp(-radius / rng.uniform(0.25, 0.6))
    dx, dy = x - cx, y - cy
    sx = cx + dx * np.cos(angle) - dy * np.sin(angle)
    sy = cy + dx * np.sin(angle) + dy * np.cos(angle)
    rows, columns = (np.clip((v * side).astype(int), 0, side - 1) for v in (sy, sx))
    return np.ascontiguousarray(film[rows, columns])


def beside(film: Film, rng: np.random.Generator) -> Film:
    """Twice the film in one picture, as comparisons are shown."""
    side = len(film)
    part = _fit(film, side // 2, side) if rng.random() < 0.7 else _fit(film, side, side // 2)
    return _fit(np.concatenate([part, part], axis=1 if part.shape[1] < side else 0), side)


def _fit(part: Film, width: int, height: int | None = None) -> Film:
    picture = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(picture.resize((width, height or width), Image.Resampling.BILINEAR))


def _askew(film: Film, degrees: float) -> Film:
    return np.asarray(Image.fromarray(np.ascontiguousarray(film)).rotate(degrees, Image.Resampling.BILINEAR))


def _framed(part: Film, side: int, rng: np.random.Generator) -> Film:
    """On a dark film with rounded fall-off, as the edge of a body seen from the side."""
    width, height = int(side * rng.uniform(0.5, 0.9)), int(side * rng.uniform(0.8, 1.0))
    inner = _fit(part, width, height).astype(np.float32)
    ramp = np.clip(np.minimum(np.arange(width), np.arange(width)[::-1]) / (rng.uniform(0.05, 0.25) * width), 0, 1)
    inner *= np.sqrt(ramp)[None, :]
    page = np.zeros((side, side), np.float32)
    left, top = int(rng.integers(0, side - width + 1)), side - height
    page[top:, left : left + width] = inner
    return page.astype(np.uint8)
