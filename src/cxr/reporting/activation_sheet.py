"""A sheet of films with the activation maps of what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

_RIGHT, _WRONG = "#1a7f4b", "#b3261e"
_TILE = 1.55


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetFilm:
    """A film of the sheet.

    Attributes:
        film: uint8 [height, width, 3], with the outline of the lesion where it is known.
        overlay: uint8 [height, width, 3], the activation map of the decision over the film.
        probability: of the decision.
    """

    film: npt.NDArray[np.uint8]
    overlay: npt.NDArray[np.uint8]
    label: str
    decision: str
    probability: float


def draw_activation_sheet(rows: Sequence[Sequence[SheetFilm]]) -> Figure:
    """Draw films in rows, each film beside its overlay; the decision is green when right and red when wrong."""
    columns = max(len(row) for row in rows)
    size = (columns * (2 * _TILE + 0.1), len(rows) * (_TILE + 0.28) + 0.3)
    spacing = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.03, wspace=0.0, hspace=0.0)
    figure = Figure(figsize=size, dpi=160, layout=spacing)
    for line, row in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        for axes in line:
            axes.axis("off")
        for axes, film in zip(line, row, strict=False):
            _draw(axes, film)
    figure.supxlabel(
        "Left the film, right the evidence for the decision, scaled to its own maximum; the brightest yellow is the "
        "most. Light blue: outline of the lesion, where it is known.",
        fontsize=8,
    )
    return figure


def _draw(axes: Axes, film: SheetFilm) -> None:
    axes.imshow(np.concatenate([film.film, film.overlay], axis=1))
    axes.set_title(film.label, fontsize=7.5, pad=3, loc="left")
    colour = _RIGHT if film.label == film.decision else _WRONG
    axes.set_title(f"→ {film.decision} {film.probability:.2f}", fontsize=7.5, pad=3, loc="right", color=colour)
