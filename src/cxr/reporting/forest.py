"""Forest plot: each subgroup's value with its interval beside that of all films."""

from dataclasses import dataclass

from cxr.contracts.metrics import Estimate, MetricsReport
from cxr.reporting.metric_tables import subgroup_label
from cxr.reporting.tables import Number, Style, metric_label, metric_style

_METRICS = ("accuracy", "macro_auroc")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One value on an axis; positions are percent of the axis from its left end, null when undefined."""

    number: Number
    at: float | None
    left: float | None
    right: float | None


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One subgroup; `marks` follow the axes of the plot."""

    label: str
    films: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One metric; `low` and `high` are its ends, `reference` the position of all films in percent."""

    label: str
    style: Style
    low: float
    high: float
    reference: float | None

    @property
    def low_text(self) -> str:
        """The left end for a person."""
        return self._text(self.low)

    @property
    def high_text(self) -> str:
        """The right end for a person."""
        return self._text(self.high)

    def _text(self, end: float) -> str:
        return f"{100 * end:.0f}%" if self.style == "share" else f"{end:.1f}"


@dataclass(frozen=True, kw_only=True)
class Forest:
    """The whole plot; the first row is all films."""

    axes: tuple[Axis, ...]
    rows: tuple[ForestRow, ...]


def subgroup_forest(metrics: MetricsReport) -> Forest | None:
    """Accuracy and macro AUROC of every subgroup, those of them that any subgroup defines; None when there is none."""
    names = [
        name
        for name in _METRICS
        if name in metrics.overall and any(_defined(group.metrics.get(name)) for group in metrics.subgroups)
    ]
    if not names:
        return None
    groups = [("All films", metrics.films, metrics.overall)]
    groups += [(subgroup_label(group), group.films, group.metrics) for group in metrics.subgroups]
    axes = [_axis(name, [row.get(name) for _, _, row in groups]) for name in names]
    return Forest(
        axes=tuple(axes),
        rows=tuple(
            ForestRow(
                label=label,
                films=films,
                marks=tuple(_mark(name, row.get(name), axis) for name, axis in zip(names, axes, strict=True)),
            )
            for label, films, row in groups
        ),
    )


def _axis(name: str, estimates: list[Estimate | None]) -> Axis:
    """An axis from just under the least to just over the largest value, in steps of 0.1."""
    known = [v for e in estimates if e is not None for v in (e.value, e.low, e.high) if v is not None]
    high = min(1.0, int(max(known) * 10 + 1) / 10)
    low = min(int(min(known) * 10) / 10, round(high - 0.1, 1))
    overall = estimates[0]
    reference = None if overall is None or overall.value is None else _percent(overall.value, low, high)
    return Axis(label=metric_label(name), style=metric_style(name), low=low, high=high, reference=reference)


def _mark(name: str, estimate: Estimate | None, axis: Axis) -> Mark:
    number = Number.metric(name, estimate or Estimate(value=None, reason="not measured"))
    ends = (number.value, number.low, number.high)
    at, left, right = (None if end is None else _percent(end, axis.low, axis.high) for end in ends)
    return Mark(number=number, at=at, left=left, right=right)


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2)


def _defined(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value is not None
