"""Where a body lies on a film, and drawing in body coordinates.

Body coordinates: the inner chest wall is near x = ±1 at its widest, the spine at x = 0, the patient's right at x < 0
(left on the film); the lung apices are near y = -1 and the domes of the diaphragm near y = 0.75, y growing downwards.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from cxr.imaging.phantom.fields import Field

Numbers = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]
"""Positions as (x, y), [n, 2]; several lines of as many positions each are [lines, n, 2]."""

_SUPERSAMPLING = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """A square drawing area over the body.

    Attributes:
        side: pixels.
        unit: pixels per body unit across.
        tall: pixels per body unit down.
        centre: pixel where the body's origin lies, (across, down).
    """

    side: int
    unit: float
    tall: float
    centre: tuple[float, float]

    @property
    def x(self) -> Field:
        """Body coordinate across, a row [1, side]."""
        return ((np.arange(self.side, dtype=np.float32) - self.centre[0]) / self.unit)[None, :]

    @property
    def y(self) -> Field:
        """Body coordinate down, a column [side, 1]."""
        return ((np.arange(self.side, dtype=np.float32) - self.centre[1]) / self.tall)[:, None]


class Layer:
    """A transparent sheet on which lines and areas are drawn in body coordinates; later ones cover earlier ones."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        side = frame.side * _SUPERSAMPLING
        self._image = Image.new("L", (side, side))
        self._draw = ImageDraw.Draw(self._image)

    def area(self, outline: Points, *, value: float = 1.0) -> None:
        """Fill a polygon [n, 2], or each of several [areas, n, 2], with `value` in 0..1."""
        for flat in self._flat(outline):
            self._draw.polygon(flat, fill=round(255 * value))

    def line(self, points: Points, *, width: float, value: float = 1.0) -> None:
        """Draw a polyline [n, 2], `width` body units wide."""
        self.lines(points[None], widths=np.array([width]), values=np.array([value]))

    def lines(self, points: Points, *, widths: Numbers, values: Numbers) -> None:
        """Draw polylines [lines, n, 2], each with its width (body units) and value (0..1)."""
        pixels = np.maximum(np.rint(widths * self._frame.unit * _SUPERSAMPLING), 1).astype(int).tolist()
        shades = np.rint(values * 255).astype(int).tolist()
        for flat, width, shade in zip(self._flat(points), pixels, shades, strict=True):
            self._draw.line(flat, fill=shade, width=width, joint="curve" if width > 4 else None)

    def discs(self, centres: Points, *, radii: Numbers, values: Numbers) -> None:
        """Fill circles [n, 2]: round on the film, whatever the body's proportions."""
        reach = radii[:, None] * self._frame.unit * _SUPERSAMPLING
        middle = self._pixels(centres)
        boxes = np.concatenate([middle - reach, middle + reach], axis=1).tolist()
        for box, shade in zip(boxes, np.rint(values * 255).astype(int).tolist(), strict=True):
            self._draw.ellipse(box, fill=shade)

    def field(self, *, blur: float = 0.0) -> Field:
        """What has been drawn, 0..1, [side, side], softened by a Gaussian of `blur` body units."""
        image = self._image.reduce(_SUPERSAMPLING)
        if blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(blur * self._frame.unit))
        return np.asarray(image, np.float32) * (1 / 255)

    def _pixels(self, points: Points) -> Points:
        at = points * (self._frame.unit, self._frame.tall) + self._frame.centre
        return at * _SUPERSAMPLING + (_SUPERSAMPLING - 1) / 2

    def _flat(self, points: Points) -> list[list[float]]:
        lines = points if points.ndim == 3 else points[None]
        flat: list[list[float]] = self._pixels(lines).reshape(len(lines), -1).tolist()
        return flat


def curve(knots: Points, *, count: int = 12) -> Points:
    """A smooth curve (Catmull-Rom) through `knots` [n, 2] with `count` positions per span."""
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, count, endpoint=False)[None, :, None]
    spans = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.vstack([spans.reshape(-1, 2), knots[-1:]])


def ribbon(points: Points, width: Numbers | float) -> Points:
    """Outline of a band around a line [n, 2], or around several [lines, n, 2]; `width` broadcasts to the positions."""
    along = np.empty_like(points)
    along[..., 1:-1, :] = points[..., 2:, :] - points[..., :-2, :]
    along[..., 0, :], along[..., -1, :] = points[..., 1, :] - points[..., 0, :], points[..., -1, :] - points[..., -2, :]
    along /= np.maximum(np.sqrt((along**2).sum(axis=-1, keepdims=True)), 1e-9)
    half = np.broadcast_to(np.asarray(width) / 2, points.shape[:-1])[..., None]
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1) * half
    return np.concatenate([points + across, (points - across)[..., ::-1, :]], axis=-2)
