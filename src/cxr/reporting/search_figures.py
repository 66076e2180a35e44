"""What a search tried and found, as one figure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr.contracts.search import Parameter, SearchSpace
from cxr.contracts.search_report import SearchReport, Trial
from cxr.reporting.objectives import objective_label

_BLUE, _ORANGE, _GREY, _GRID = "#1f6f9f", "#c4622d", "#6b7280", "#e5e7eb"
_SHADES: Colormap = LinearSegmentedColormap.from_list("objective", ["#c3d0db", "#7fa8c4", "#1f6f9f", "#0b2f47"])


def draw_search(report: SearchReport, space: SearchSpace) -> Figure:
    """The objective by trial, the trials' courses, what mattered (where known), and the values that were tried.

    Args:
        report: with at least one trial.
        space: that was searched; gives the axes of the values their range and scale.
    """
    figure = Figure(figsize=(10.5, 6.4), dpi=160, layout="constrained")
    panels = 3 if report.importance else 2
    grid = figure.add_gridspec(2, panels, height_ratios=(1, 1.05))
    values = figure.add_subplot(grid[1, :])
    shade = _shade(report.trials)
    _draw_history(figure.add_subplot(grid[0, 0]), report)
    _draw_curves(figure.add_subplot(grid[0, 1]), report, shade)
    if report.importance:
        _draw_importance(figure.add_subplot(grid[0, 2]), report.importance)
    _draw_values(values, report, space.parameters, shade)
    bar = figure.colorbar(shade.scale(), ax=values, pad=0.01, fraction=0.03)
    bar.set_label(objective_label(report.objective), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return figure


@dataclass(frozen=True)
class _Shade:
    """Colours of trials by their value, from the worst to the best."""

    low: float
    high: float

    def of(self, value: float) -> tuple[float, ...]:
        return _SHADES((value - self.low) / (self.high - self.low))

    def scale(self) -> ScalarMappable:
        return ScalarMappable(Normalize(self.low, self.high), _SHADES)


def _shade(trials: Sequence[Trial]) -> _Shade:
    values = [trial.value for trial in trials if trial.value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return _Shade(low, max(high, low + 1e-3))


def _draw_history(axes: Axes, report: SearchReport) -> None:
    complete = {t.number: t.value for t in report.trials if t.state == "complete" and t.value is not None}
    best = list(itertools.accumulate(complete.values(), max))
    axes.step([*complete], best, where="post", color=_ORANGE, linewidth=1.4, label="best so far", zorder=2)
    styles = {"complete": ("o", _BLUE), "pruned": ("v", _GREY)}
    for state, (marker, colour) in styles.items():
        points = {t.number: t.value for t in report.trials if t.state == state and t.value is not None}
        if points:
            axes.scatter([*points], [*points.values()], s=22, marker=marker, color=colour, label=state, zorder=3)
    failed = [trial.number for trial in report.trials if trial.state == "failed"]
    if failed:
        low = axes.get_ylim()[0]
        axes.scatter(failed, [low] * len(failed), s=26, marker="x", color=_ORANGE, label="failed", zorder=3)
    _finish(axes, "Trials", x="Trial (0 is the recipe as given)", y=objective_label(report.objective))
    axes.legend(frameon=False, fontsize=7)


def _draw_curves(axes: Axes, report: SearchReport, shade: _Shade) -> None:
    for trial in sorted(report.trials, key=lambda trial: trial.number == report.best):
        if trial.value is None:
            continue
        kept = trial.number == report.best
        axes.plot(
            range(1, len(trial.curve) + 1),
            trial.curve,
            color=_ORANGE if kept else shade.of(trial.value),
            linewidth=2 if kept else 1.1,
            marker="o",
            markersize=3,
            label=f"trial {trial.number}, kept" if kept else None,
        )
    _finish(axes, "Courses", x="Epoch", y=None)
    axes.legend(frameon=False, fontsize=7)


def _draw_importance(axes: Axes, importance: dict[str, float]) -> None:
    shares = sorted(importance.items(), key=lambda pair: pair[1])
    axes.set_title("Share of the variance (fANOVA)", fontsize=10)
    bars = axes.barh([name.replace(".", "\n") for name, _ in shares], [share for _, share in shares], color=_BLUE)
    axes.bar_label(bars, fmt="{:.0%}", padding=2, fontsize=7)
    axes.margins(x=0.18)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_values(axes: Axes, report: SearchReport, parameters: Sequence[Parameter], shade: _Shade) -> None:
    """One vertical axis per parameter, one line per trial."""
    positions = range(len(parameters))
    for trial in sorted(report.trials, key=lambda t: (t.number == report.best, t.value or 0.0)):
        heights = [_height(p, trial.parameters[p.field], report.trials) for p in parameters]
        kept = trial.number == report.best
        colour = _ORANGE if kept else _GREY if trial.value is None else shade.of(trial.value)
        axes.plot(positions, heights, color=colour, linewidth=2.2 if kept else 1.2, marker="o", markersize=3.5,
                  linestyle=":" if trial.state == "failed" else "-", clip_on=False)  # fmt: skip
    for position, parameter in zip(positions, parameters, strict=True):
        axes.axvline(position, color=_GRID, linewidth=1, zorder=0)
        for value in _labels(parameter, report.trials):
            height = _height(parameter, value, report.trials)
            axes.annotate(_short(value), (position, height), (4, 0), textcoords="offset points", va="center",
                          fontsize=7, color=_GREY)  # fmt: skip
    axes.set_title("Values tried (orange: kept)", fontsize=10)
    axes.set_xticks(positions, [parameter.field.replace(".", "\n") for parameter in parameters], fontsize=8)
    axes.set_yticks([])
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlim(-0.2, len(parameters) - 0.6)
    axes.spines[:].set_visible(False)


def _height(parameter: Parameter, value: object, trials: Sequence[Trial]) -> float:
    """Where a value is on its axis: 0 at the least, 1 at the largest of what could be or was tried."""
    labels = _labels(parameter, trials)
    if parameter.kind == "categorical":
        return labels.index(value) / max(1, len(labels) - 1)  # type: ignore[arg-type]
    scaled = [float(number) for number in (labels[0], value, labels[-1])]  # type: ignore[arg-type]
    if parameter.scale == "log" and scaled[0] > 0:
        scaled = [math.log(number) for number in scaled]
    low, middle, high = scaled
    return (middle - low) / (high - low)


def _labels(parameter: Parameter, trials: Sequence[Trial]) -> list[float | int | str | bool]:
    """Values written on an axis, ascending; trial 0 may lie outside of the space."""
    tried = [trial.parameters[parameter.field] for trial in trials]
    if parameter.kind == "categorical":
        labels = list(dict.fromkeys([*parameter.choices, *tried]))
        return labels if any(isinstance(label, str) for label in labels) else sorted(labels)
    bounds = [bound for bound in (parameter.minimum, parameter.maximum) if bound is not None]
    numbers = [float(value) for value in [*bounds, *tried] if not isinstance(value, str)]
    return [min(numbers), max(numbers)]


def _short(value: float | int | str | bool) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _finish(axes: Axes, title: str, *, x: str, y: str | None) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=8)
    axes.tick_params(labelsize=8)
    if y is not None:
        axes.set_ylabel(y, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
