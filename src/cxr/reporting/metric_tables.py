"""Tables of what was measured: discrimination, operating points, subgroups, robustness, localisation."""

from cxr.contracts.metrics import (
    Calibration,
    Estimate,
    LocalisationReport,
    MetricsReport,
    OperatingPoint,
    RobustnessReport,
    Subgroup,
)
from cxr.domain import NORMAL
from cxr.reporting.tables import Cell, Number, Table, count, metric_cells, metric_columns, metric_label

_POINT_METRICS = ("sensitivity", "specificity", "ppv", "npv")
_POINTS = {"youden": "Youden", "sensitivity_at_least": "sensitivity", "specificity_at_least": "specificity"}
_ATTRIBUTES = {"source": "Source", "view": "View", "sex": "Sex", "age_group": "Age group"}


def overall_table(metrics: MetricsReport) -> Table:
    """All classes together."""
    return Table(
        name="overall",
        caption="All classes together",
        columns=("Metric", "Value (95% CI)"),
        rows=tuple((metric_label(name), Number.metric(name, value)) for name, value in metrics.overall.items()),
        note=_sample(metrics),
    )


def per_class_table(metrics: MetricsReport) -> Table:
    """Each finding against the rest, and against Normal: metrics down, findings across."""
    longest_first = sorted(metrics.per_class.values(), key=len, reverse=True)  # Normal is not told from itself
    names = metric_columns(longest_first)
    itself = f"{NORMAL} is what it is told from"
    cells = {finding: metric_cells(metrics.per_class[finding], names, absent=itself) for finding in metrics.findings}
    return Table(
        name="per-class",
        caption="Each finding against the rest",
        columns=("Metric", *metrics.findings),
        rows=tuple(
            (metric_label(name), *(cells[finding][row] for finding in metrics.findings))
            for row, name in enumerate(names)
        ),
    )


def confusion_table(metrics: MetricsReport) -> Table:
    """Counts of films; true findings down, decisions across."""
    totals = [max(1, sum(row)) for row in metrics.confusion]
    return Table(
        name="confusion",
        caption="Films by true finding (down) and decision (across)",
        columns=("True finding", *metrics.findings),
        rows=tuple(
            (finding, *(count(n) for n in row))
            for finding, row in zip(metrics.findings, metrics.confusion, strict=True)
        ),
        tints=tuple(tuple(n / total for n in row) for row, total in zip(metrics.confusion, totals, strict=True)),
    )


def operating_point_table(metrics: MetricsReport, calibration: Calibration) -> Table:
    """Thresholds fitted on validation and what they do on the evaluated split."""
    rows: list[tuple[Cell, ...]] = []
    for point in calibration.operating_points:
        measured = metrics.operating_points.get(point.key, {})
        rows.append(
            (
                f"{point.finding}, {point_name(point)}",
                Number(value=point.threshold, style="score"),
                Number(value=point.validation_sensitivity, style="share"),
                Number(value=point.validation_specificity, style="share"),
                *metric_cells(measured, _POINT_METRICS),
            )
        )
    return Table(
        name="operating-points",
        caption="Operating points",
        columns=(
            "Operating point",
            "Threshold",
            "Sensitivity, validation",
            "Specificity, validation",
            *(f"{metric_label(name)}, {metrics.split}" for name in _POINT_METRICS),
        ),
        rows=tuple(rows),
        note=(
            f"Thresholds were fitted on {calibration.validation_films:,} validation films and applied unchanged. "
            "Youden is the largest sum of sensitivity and specificity; ≥ is the target on validation."
        ),
    )


def point_name(point: OperatingPoint) -> str:
    """An operating point's name for a person."""
    return _POINTS[point.name] if point.target is None else f"{_POINTS[point.name]} ≥\u00a0{100 * point.target:g}%"


def subgroup_label(group: Subgroup) -> str:
    """A subgroup's name for a person."""
    return subgroup_name(group.attribute, group.value)


def subgroup_name(attribute: str, value: str) -> str:
    """The name of the films that share a value of an attribute.

    >>> subgroup_name("age_group", "adult")
    'Age group: adult'
    """
    return f"{_ATTRIBUTES.get(attribute, attribute)}: {value}"


def subgroup_table(metrics: MetricsReport) -> Table:
    """Films that share a source, view, sex or age group; the first row is all films."""
    recalls = {f"recall_{finding}": metrics.per_class[finding]["recall"] for finding in metrics.findings}
    everyone = metrics.overall | recalls
    measured = metric_columns([subgroup.metrics for subgroup in metrics.subgroups])
    names = sorted(measured, key=lambda name: (*everyone, name).index(name))
    overall = {name: everyone[name] for name in names if name in everyone}
    rows: list[tuple[Cell, ...]] = [
        ("All films", count(metrics.films), count(metrics.patients), *metric_cells(overall, names))
    ]
    rows += [
        (
            subgroup_label(group),
            count(group.films),
            count(group.patients),
            *metric_cells(group.metrics, names, absent="no such film in this subgroup"),
        )
        for group in metrics.subgroups
    ]
    return Table(
        name="subgroups",
        caption=f"Subgroups of the {metrics.split} films",
        columns=("Subgroup", "Films", "Patients", *(metric_label(name) for name in names)),
        rows=tuple(rows),
    )


def preset_table(robustness: RobustnessReport) -> Table:
    """Clean films and the mean over each preset of corruptions."""
    names = ("accuracy", "macro_auroc", "accuracy_drop", "macro_auroc_drop")
    clean = {
        "accuracy": robustness.clean_accuracy,
        "macro_auroc": robustness.clean_macro_auroc,
        "accuracy_drop": Estimate(value=0.0),
        "macro_auroc_drop": Estimate(value=0.0),
    }
    rows = {"Clean": clean} | {f"Preset {preset}": row for preset, row in robustness.presets.items()}
    return Table(
        name="robustness-presets",
        caption="Clean films and the mean over each preset",
        columns=("Films", *(metric_label(name) for name in names)),
        rows=tuple((label, *metric_cells(row, names)) for label, row in rows.items()),
        note="Lost is clean minus corrupted, paired by film: negative means better than on clean films.",
    )


def corruption_table(robustness: RobustnessReport, metric: str) -> Table:
    """One row per corruption, one column per severity.

    Args:
        robustness: the grid.
        metric: a field of `CorruptionResult`: accuracy, macro_auroc, accuracy_drop or macro_auroc_drop.
    """
    severities = sorted({result.severity for result in robustness.results})
    grid: dict[str, dict[int, Estimate]] = {}
    for result in robustness.results:
        grid.setdefault(result.corruption, {})[result.severity] = getattr(result, metric)
    absent = Estimate(value=None, reason="not measured")
    cells = {name: [row.get(severity, absent) for severity in severities] for name, row in grid.items()}
    what, comma, points = metric_label(metric).partition(", ")
    unit = comma + points
    return Table(
        name=f"robustness-{metric.replace('_', '-')}",
        caption=f"{what} by corruption and severity{unit}",
        columns=("Corruption", *(f"Severity {severity}" for severity in severities)),
        rows=tuple(
            (corruption_label(name), *(Number.metric(metric, cell) for cell in row)) for name, row in cells.items()
        ),
        tints=tuple(tuple(_tint(cell) for cell in row) for row in cells.values()) if metric.endswith("_drop") else (),
    )


def corruption_label(name: str) -> str:
    """A corruption's name for a person."""
    return "JPEG" if name == "jpeg" else name.replace("_", " ").capitalize()


def localisation_table(localisation: LocalisationReport) -> Table:
    """Where the activation peaks, against the lesion masks."""
    overall = {
        "pointing_game": localisation.pointing_game,
        "pointing_chance": localisation.pointing_chance,
        "energy_inside": localisation.energy_inside,
        "lesion_area": localisation.lesion_area,
    }
    rows = {"All masked films": overall} | localisation.per_class
    names = metric_columns(list(rows.values()))
    return Table(
        name="localisation",
        caption="Activation against lesion masks",
        columns=("Films", *(metric_label(name) for name in names)),
        rows=tuple((label, *metric_cells(row, names)) for label, row in rows.items()),
        note=(
            f"{localisation.masked_films:,} films have a lesion mask; "
            f"a peak within {localisation.tolerance:g} pixels at 224 counts as inside."
        ),
    )


def _sample(metrics: MetricsReport) -> str:
    return (
        f"{metrics.films:,} {metrics.split} films of {metrics.patients:,} patients; intervals are percentiles of "
        f"{metrics.resamples:,} bootstrap resamples of patients."
    )


def _tint(drop: Estimate) -> float:
    return 0.0 if drop.value is None else min(1.0, max(0.0, drop.value / 0.25))
