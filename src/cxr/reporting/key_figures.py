"""The figures on top of a report, against those of the project that this one follows."""

from dataclasses import dataclass

from cxr.contracts.bundle import BundleManifest
from cxr.contracts.metrics import (
    Calibration,
    Estimate,
    LocalisationReport,
    MetricsReport,
    OperatingPoint,
    RobustnessReport,
)
from cxr.reporting.provenance import Drawn
from cxr.reporting.tables import Cell, Number, Style, Table

ANCESTOR_NOTE = (
    "The ancestor is a DenseNet-121 for the same three classes. Its figures are as it published them: "
    "without intervals, and on its own test films, so the comparison is not paired."
)


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A published figure, in the words it was published with; `most` when it is a bound and less is better."""

    value: float
    text: str
    style: Style
    most: bool = False


_INCOMPARABLE: dict[Drawn, str] = {
    "none": "",
    "some": "Not comparable: phantoms among the films",
    "all": "Not comparable: phantoms",
}
ACCURACY = Ancestor(value=0.778, text="77.8%", style="share")
MACRO_AUROC = Ancestor(value=0.94, text="0.94", style="score")
CLINICAL_DROP = Ancestor(value=0.02, text="at most 2 points", style="points", most=True)


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """One figure. `ancestor` and `reading` are words; both empty where the ancestor reported nothing."""

    label: str
    number: Number
    ancestor: str = ""
    reading: str = ""


def key_figures(
    *,
    manifest: BundleManifest,
    metrics: MetricsReport,
    robustness: RobustnessReport,
    localisation: LocalisationReport,
    drawn: Drawn,
) -> tuple[KeyFigure, ...]:
    """What a reader looks for first; beside the ancestor's figures only where no film is drawn."""
    absent = Estimate(value=None, reason="not measured")
    drop = robustness.presets.get("clinical", {}).get("accuracy_drop", absent)
    point = triage_point(manifest.calibration)
    blind = Number.of(localisation.pointing_chance, "share")
    triage = metrics.operating_points.get(point.key, {}) if point else {}
    return (
        _against(MACRO_AUROC, "Macro AUROC", metrics.overall["macro_auroc"], drawn=drawn),
        _against(ACCURACY, "Accuracy", metrics.overall["accuracy"], drawn=drawn),
        _against(CLINICAL_DROP, "Accuracy lost under clinical corruptions, points", drop, drawn=drawn),
        KeyFigure(
            label="Tuberculosis sensitivity at the triage point",
            number=Number.of(triage.get("sensitivity", absent), "share"),
            reading="WHO asks for at least 90%",
        ),
        KeyFigure(
            label="Tuberculosis specificity at the triage point",
            number=Number.of(triage.get("specificity", absent), "share"),
            reading="WHO asks for at least 70%",
        ),
        KeyFigure(
            label="Activation peaks inside the lesion (pointing game)",
            number=Number.of(localisation.pointing_game, "share"),
            reading=f"A blind guess: {blind.text}" if blind.value is not None else "",
        ),
    )


def key_figure_table(figures: tuple[KeyFigure, ...]) -> Table:
    """The key figures as a table."""
    rows: list[tuple[Cell, ...]] = [
        (figure.label, figure.number, figure.ancestor or "not reported", figure.reading) for figure in figures
    ]
    return Table(
        name="key-figures",
        caption="Key figures",
        columns=("Measure", "This model (95% CI)", "Ancestor", "Reading"),
        rows=tuple(rows),
        note=ANCESTOR_NOTE,
    )


def triage_point(calibration: Calibration) -> OperatingPoint | None:
    """The tuberculosis threshold that was fitted to reach a sensitivity, as WHO asks of a triage test."""
    points = [
        point
        for point in calibration.operating_points
        if point.finding == "Tuberculosis" and point.name == "sensitivity_at_least"
    ]
    return points[0] if points else None


def _against(ancestor: Ancestor, label: str, estimate: Estimate, *, drawn: Drawn) -> KeyFigure:
    return KeyFigure(
        label=label,
        number=Number.of(estimate, ancestor.style),
        ancestor=ancestor.text,
        reading=_INCOMPARABLE[drawn] or _reading(ancestor, estimate),
    )


def _reading(ancestor: Ancestor, estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    if ancestor.most:
        if estimate.high <= ancestor.value:
            return "Within the ancestor's bound"
        return (
            "Over the ancestor's bound" if estimate.low > ancestor.value else "Interval includes the ancestor's bound"
        )
    if estimate.low > ancestor.value:
        return "Above the ancestor"
    return "Below the ancestor" if estimate.high < ancestor.value else "Interval includes the ancestor's"
