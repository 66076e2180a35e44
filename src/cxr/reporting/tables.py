"""Tables as values: page, technical report and model card render the same ones, so their numbers cannot differ."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cxr.contracts.metrics import Estimate

Style = Literal["share", "score", "points", "count", "quantity"]
MINUS = "−"

_LABELS: dict[str, tuple[str, Style]] = {
    "accuracy": ("Accuracy", "share"),
    "macro_precision": ("Macro precision", "share"),
    "macro_recall": ("Macro recall", "share"),
    "macro_f1": ("Macro F1", "score"),
    "macro_auroc": ("Macro AUROC", "score"),
    "macro_auprc": ("Macro AUPRC", "score"),
    "ece": ("Expected calibration error", "score"),
    "brier": ("Brier score", "score"),
    "log_loss": ("Log loss", "score"),
    "precision": ("Precision", "share"),
    "recall": ("Recall", "share"),
    "f1": ("F1", "score"),
    "auroc": ("AUROC", "score"),
    "auroc_against_normal": ("AUROC against Normal alone", "score"),
    "auprc": ("AUPRC", "score"),
    "sensitivity": ("Sensitivity", "share"),
    "specificity": ("Specificity", "share"),
    "refer_rate": ("Films referred", "share"),
    "ppv": ("PPV", "share"),
    "npv": ("NPV", "share"),
    "accuracy_drop": ("Accuracy lost, points", "points"),
    "macro_auroc_drop": ("Macro AUROC lost", "score"),
    "pointing_game": ("Pointing game", "share"),
    "pointing_chance": ("Pointing game of a blind guess", "share"),
    "energy_inside": ("Activation inside the lesion", "share"),
    "lesion_area": ("Area of the lesion", "share"),
}


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it is shown, with the full value behind it.

    Attributes:
        value: null when undefined; then `reason` says why.
        style: "share" is shown in percent, "points" as percentage points, "score" with three decimals, "count" with
            thousands separators and "quantity" with four significant digits.
        low, high: ends of the 95% confidence interval.
    """

    value: float | None
    style: Style
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, estimate: Estimate, style: Style) -> "Number":
        """The estimate, shown in a style."""
        return cls(value=estimate.value, style=style, low=estimate.low, high=estimate.high, reason=estimate.reason)

    @classmethod
    def metric(cls, name: str, estimate: Estimate) -> "Number":
        """The estimate, shown in the style of its metric."""
        return cls.of(estimate, metric_style(name))

    @property
    def text(self) -> str:
        """The value for a person, an em dash when it is undefined.

        >>> Number(value=0.7781, style="share").text, Number(value=-0.0021, style="points").text
        ('77.8%', '−0.2')
        """
        if self.value is None:
            return "—"
        unit = "%" if self.style == "share" else ""
        return _shown(self.value, self.style) + unit

    @property
    def interval(self) -> str:
        """The 95% confidence interval for a person, empty when there is none.

        >>> Number(value=0.9, low=0.85, high=0.94, style="share").interval
        '85.0–94.0'
        """
        if self.value is None or self.low is None or self.high is None:
            return ""
        joint = " to " if self.low < 0 else "–"
        return _shown(self.low, self.style) + joint + _shown(self.high, self.style)


Cell = str | Number


def count(value: int) -> Number:
    """A whole number as a cell."""
    return Number(value=value, style="count")


def quantity(value: float) -> Number:
    """A physical or hyperparameter value as a cell."""
    return Number(value=value, style="quantity")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose first column names its rows.

    Attributes:
        name: identifier within a page.
        note: one sentence under the caption, or empty.
        tints: per row and cell after the first 0..1, how strongly a page shades it; empty for no shading.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    tints: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"every row of {self.name} must have {len(self.columns)} cells, has {len(row)}: {row}")

    @property
    def footnotes(self) -> dict[str, str]:
        """Reason to footnote letter, in order of appearance, of all undefined cells."""
        cells = [cell for row in self.rows for cell in row if isinstance(cell, Number)]
        reasons = dict.fromkeys(cell.reason for cell in cells if cell.value is None and cell.reason)
        return {reason: _letters(position) for position, reason in enumerate(reasons)}

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether a column holds numbers and is aligned to the right."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        return tuple(any(isinstance(cell, Number) for cell in column) for column in columns)


def metric_label(name: str) -> str:
    """A metric's name for a person.

    >>> metric_label("macro_auroc"), metric_label("sensitivity_at_specificity_90"), metric_label("recall_Normal")
    ('Macro AUROC', 'Sensitivity at 90% specificity', 'Recall, Normal')
    """
    if name in _LABELS:
        return _LABELS[name][0]
    head, at, tail = name.partition("_at_")
    if at and "_" in tail:
        fixed, _, percent = tail.rpartition("_")
        return f"{metric_label(head)} at {percent}% {fixed.replace('_', ' ')}"
    metric, of_finding, finding = name.partition("_")
    if of_finding and metric in _LABELS and finding[:1].isupper():
        return f"{metric_label(metric)}, {finding}"
    return name.replace("_", " ").capitalize()


def metric_style(name: str) -> Style:
    """How a metric's value is shown."""
    for known in (name, name.partition("_at_")[0], name.partition("_")[0]):
        if known in _LABELS:
            return _LABELS[known][1]
    return "score"


def metric_columns(rows: Sequence[dict[str, Estimate]]) -> tuple[str, ...]:
    """Names of all metrics of several rows, in order of first appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row))


def metric_cells(row: dict[str, Estimate], names: Sequence[str], *, absent: str = "not measured") -> tuple[Number, ...]:
    """The cells of one row; a metric that the row lacks is undefined for the reason `absent`."""
    lacking = Estimate(value=None, reason=absent)
    return tuple(Number.metric(name, row.get(name, lacking)) for name in names)


def _shown(value: float, style: Style) -> str:
    match style:
        case "share" | "points":
            text = f"{100 * value:.1f}"
        case "score":
            text = f"{value:.3f}"
        case "count":
            text = f"{value:,.0f}"
        case "quantity":
            text = f"{value:.4g}"
    if text.startswith("-"):
        zero = not text.strip("-0.")
        return text[1:] if zero else MINUS + text[1:]
    return text


def _letters(position: int) -> str:
    more, last = divmod(position, 26)
    return (_letters(more - 1) if more else "") + string.ascii_lowercase[last]
