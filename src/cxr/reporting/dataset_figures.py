"""How films differ before any model sees them: size, grey values, age. One row per source, so that sources compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr.reporting.cohort import UNKNOWN
from cxr.reporting.palette import GRID, INK

_BLUE = "#1f6f9f"
_MOST_SOURCES = 8
_REST = "other sources"
_BINS = 41


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A value of every film.

    Attributes:
        values: in the order of the films; nan is unknown.
        whole: only whole numbers occur.
    """

    label: str
    values: npt.NDArray[np.float64]
    whole: bool = False


def draw_sizes(films: pd.DataFrame) -> Figure:
    """Short side and aspect of the original films, by source.

    Args:
        films: of a study index.
    """
    width, height = (films[name].to_numpy(np.float64) for name in ("width", "height"))
    side = Measure(label="Short side of the file, pixels", values=np.minimum(width, height), whole=True)
    return _draw(films, [side, Measure(label="Width divided by height", values=width / height)])


def draw_grey_values(films: pd.DataFrame) -> Figure:
    """Mean and standard deviation of the grey values of the stored films, by source.

    Args:
        films: of a study index, with `mean` and `spread` of the grey values, 0..255.
    """
    labels = {"mean": "Mean grey value of a film, 0 to 255", "spread": "Standard deviation of its grey values"}
    return _draw(films, [Measure(label=labels[name], values=films[name].to_numpy(np.float64)) for name in labels])


def draw_ages(films: pd.DataFrame) -> Figure:
    """Known ages in years, by source; 90 stands for all ages over 89.

    Args:
        films: of a study index.
    """
    known = films.dropna(subset=["age"])
    return _draw(known, [Measure(label="Age, years", values=known["age"].to_numpy(np.float64), whole=True)])


def _draw(films: pd.DataFrame, measures: Sequence[Measure]) -> Figure:
    sources = _sources(films)
    names = list(dict.fromkeys(sorted(sources, key=lambda name: (name in (UNKNOWN, _REST), name))))
    figure = Figure(figsize=(10.5, 0.9 + 0.5 * len(names)), dpi=160, layout="constrained")
    grid = figure.subplots(len(names), len(measures), squeeze=False, sharex="col")
    for column, measure in enumerate(measures):
        edges = _edges(measure.values)
        for row, name in enumerate(names):
            _row(grid[row, column], measure.values[sources == name], edges)
        last = grid[-1, column]
        last.set_xlabel(measure.label)
        last.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=measure.whole))
        last.tick_params(axis="x", length=3)
    for row, name in enumerate(names):
        films_of = int((sources == name).sum())
        text = f"{name}\n{films_of:,} films"
        grid[row, 0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8, color=INK)
    return figure


def _sources(films: pd.DataFrame) -> npt.NDArray[np.str_]:
    """Source of every film, the rarest ones taken together where there are many."""
    sources = films["source"].fillna(UNKNOWN)
    counts = sources.value_counts()
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))
    if len(ranked) > _MOST_SOURCES:
        sources = sources.where(sources.isin(ranked[: _MOST_SOURCES - 1]), _REST)
    return sources.to_numpy(np.str_)


def _row(axes: Axes, values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> None:
    counts, _ = np.histogram(values, edges)
    axes.stairs(counts / max(1, counts.max()), edges, fill=True, color=_BLUE)
    axes.axvline(float(np.median(values)), color=INK, linewidth=1.2, linestyle=":")
    axes.set_ylim(0, 1.1)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(axis="x", length=0)


def _edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    margin = 0.02 * (high - low) or 0.05 * abs(high) or 0.5
    edges: npt.NDArray[np.float64] = np.linspace(low - margin, high + margin, _BINS + 1)
    return edges
