"""What an evaluation found, as figures."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxr.contracts.metrics import Calibration, Estimate, MetricsReport, OperatingPoint
from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.arrays import Floats, Mask
from cxr.evaluation.calibration import BINS
from cxr.evaluation.curves import precision_recall_band, reliability, roc_band
from cxr.evaluation.discrimination import roc_curve
from cxr.evaluation.scored import ScoredFilms
from cxr.reporting.metric_tables import subgroup_label
from cxr.reporting.palette import GREY, GRID, INK, finding_colours
from cxr.reporting.risk_figure import RISK_FIGURE, draw_risk_coverage
from cxr.reporting.tables import Number, metric_label

_BLUES = LinearSegmentedColormap.from_list("share", ["#ffffff", "#c9dbe8", "#7fa8c4", "#1f6f9f"])
_MARKERS = {"youden": "o", "sensitivity_at_least": "^", "specificity_at_least": "s"}


def draw_evaluation(
    films: ScoredFilms, report: MetricsReport, calibration: Calibration, *, recipe: EvaluationRecipe, seed: int
) -> dict[str, Figure]:
    """All figures of an evaluation by file name without ending."""
    return {
        "confusion": draw_confusion(report),
        "roc": draw_roc(films, report, calibration, recipe=recipe, seed=seed),
        "precision_recall": draw_precision_recall(films, report, seed=seed),
        "reliability": draw_reliability(films, report, seed=seed),
        "subgroups": draw_subgroups(report),
        RISK_FIGURE: draw_risk_coverage(films, report, seed=seed),
    }


def draw_confusion(report: MetricsReport) -> Figure:
    """Films by true finding (rows) and decision (columns), shaded by the share of the row."""
    counts = np.array(report.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.4, 4.4), dpi=160, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=_BLUES, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.6 else INK
        axes.text(column, row - 0.08, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=13)
        axes.text(column, row + 0.2, f"{100 * share:.1f}%", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(counts)), report.findings)
    totals = zip(report.findings, counts.sum(axis=1), strict=True)
    axes.set_yticks(range(len(counts)), [f"{finding}\n(n = {films:,})" for finding, films in totals])
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(1, len(counts)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(counts)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.set_xlabel("Decision")
    axes.set_ylabel("True finding")
    axes.set_title(f"{report.films:,} {report.split} films", fontsize=10)
    figure.colorbar(image, ax=axes, fraction=0.046, label="Share of the row").outline.set_visible(False)
    return figure


def draw_roc(
    films: ScoredFilms, report: MetricsReport, calibration: Calibration, *, recipe: EvaluationRecipe, seed: int
) -> Figure:
    """ROC curve of each finding against the rest, with what the validation thresholds reach on these films."""

    def panel(axes: Axes, finding: str, scores: Floats, positive: Mask, colour: str) -> None:
        band = roc_band(scores, positive, films.patients, seed=seed)
        alarms, sensitivity, _ = roc_curve(scores, positive)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        if finding == "Tuberculosis":
            _draw_triage_target(axes, recipe)
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(alarms, sensitivity, color=colour, linewidth=1.8, label=_labelled("AUROC", report, finding, "auroc"))
        for point in calibration.operating_points:
            if point.finding == finding:
                _draw_point(axes, point, report.operating_points[point.key], colour)
        axes.set(xlabel="1 − specificity", ylabel="Sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_aspect("equal")
        axes.legend(loc="lower right", fontsize=7.5, frameon=True, framealpha=0.9, edgecolor="none")

    return _panels(films, panel)


def draw_precision_recall(films: ScoredFilms, report: MetricsReport, *, seed: int) -> Figure:
    """Precision over recall of each finding against the rest; the dotted line is the share of films that have it."""

    def panel(axes: Axes, finding: str, scores: Floats, positive: Mask, colour: str) -> None:
        band = precision_recall_band(scores, positive, films.patients, seed=seed)
        prevalence = float(positive.mean())
        axes.axhline(prevalence, color=GREY, linewidth=1, linestyle=":", label=f"prevalence {100 * prevalence:.1f}%")
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(band.x, band.y, color=colour, linewidth=1.8, label=_labelled("AUPRC", report, finding, "auprc"))
        axes.set(xlabel="Recall", ylabel="Precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_aspect("equal")
        axes.legend(loc="lower left", fontsize=7.5, frameon=True, framealpha=0.9, edgecolor="none")

    return _panels(films, panel)


def draw_reliability(films: ScoredFilms, report: MetricsReport, *, seed: int) -> Figure:
    """How often decisions and findings are right, by the probability given, over bins of equal mass; counts below."""
    figure = Figure(figsize=(9.4, 5.2), dpi=160, layout="constrained")
    grid = figure.subplots(2, 2, height_ratios=[3.6, 1], sharex="col")
    confidence, right = films.probabilities.max(axis=1), films.decisions == films.labels
    decisions, findings = grid[0]
    _reliability_line(decisions, confidence, right, films, seed=seed, colour=INK, label="decisions", marker="o")
    decisions.set_title(f"Decisions: {_labelled('ECE', report, 'overall', 'ece')}", fontsize=10)
    decisions.set_ylabel("Share decided rightly")
    grid[1, 0].hist(confidence, bins=20, range=(0, 1), color=INK, alpha=0.75)
    grid[1, 0].set(xlabel="Probability of the decision", ylabel="Films")
    for (finding, colour), marker in zip(finding_colours(films.findings).items(), "os^Dvp", strict=False):
        number = films.findings.index(finding)
        scores, present = films.probabilities[:, number], films.labels == number
        _reliability_line(findings, scores, present, films, seed=seed, colour=colour, label=finding, marker=marker)
        grid[1, 1].hist(scores, bins=20, range=(0, 1), histtype="step", linewidth=1.4, color=colour)
    findings.set_title("Each finding against the rest", fontsize=10)
    findings.set_ylabel("Share that have the finding")
    findings.legend(frameon=False, fontsize=8, loc="upper left")
    grid[1, 1].set(xlabel="Probability of the finding", ylabel="Films", yscale="symlog")
    for axes in grid.flat:
        _plain(axes)
    return figure


def draw_subgroups(report: MetricsReport) -> Figure:
    """Accuracy and macro AUROC of every subgroup with 95% intervals; the lines are those of all films."""
    rows = [("All films", report.films, report.overall)]
    rows += [(subgroup_label(group), group.films, group.metrics) for group in report.subgroups]
    figure = Figure(figsize=(9.4, 1.1 + 0.28 * len(rows)), dpi=160, layout="constrained")
    columns = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(rows), dtype=np.float64)[::-1]
    for axes, name in zip(columns, ("accuracy", "macro_auroc"), strict=True):
        _forest(axes, heights, [metrics.get(name) for _, _, metrics in rows])
        axes.set_title(metric_label(name), fontsize=10)
        _plain(axes)
        axes.grid(axis="y", visible=False)
    columns[0].set_yticks(heights, [f"{label}  (n = {films:,})" for label, films, _ in rows], fontsize=8)
    columns[0].set_ylim(-0.7, len(rows) - 0.3)
    return figure


def _panels(films: ScoredFilms, draw: Callable[[Axes, str, Floats, Mask, str], None]) -> Figure:
    """One panel per finding; a finding that no film or every film has gets a sentence instead of a curve."""
    figure = Figure(figsize=(3.9 * len(films.findings), 4.1), dpi=160, layout="constrained")
    panels = figure.subplots(1, len(films.findings), squeeze=False)[0]
    for axes, (finding, colour) in zip(panels, finding_colours(films.findings).items(), strict=True):
        number = films.findings.index(finding)
        positive = films.labels == number
        axes.set_title(finding, fontsize=10, color=colour, fontweight="bold")
        if positive.any() and not positive.all():
            draw(axes, finding, films.probabilities[:, number], positive, colour)
        else:
            words = f"{'every' if positive.any() else 'no'} film has it"
            axes.text(0.5, 0.5, words, ha="center", va="center", color=GREY, transform=axes.transAxes)
        _plain(axes)
    return figure


def _draw_point(axes: Axes, point: OperatingPoint, measured: dict[str, Estimate], colour: str) -> None:
    sensitivity, specificity = measured["sensitivity"].value, measured["specificity"].value
    if sensitivity is None or specificity is None:
        return
    name = "Youden" if point.target is None else f"{point.name.partition('_')[0]} ≥ {100 * point.target:g}%"
    filled = colour if point.target is None or point.target < 0.95 else "white"
    axes.plot(
        1 - specificity,
        sensitivity,
        marker=_MARKERS[point.name],
        markersize=6,
        markerfacecolor=filled,
        markeredgecolor=INK,
        markeredgewidth=0.9,
        linestyle="none",
        label=name,
        zorder=5,
    )


def _draw_triage_target(axes: Axes, recipe: EvaluationRecipe) -> None:
    corner, height = (0.0, recipe.triage_sensitivity), 1 - recipe.triage_sensitivity
    label = f"WHO triage target, ≥ {100 * recipe.triage_sensitivity:g}/{100 * recipe.triage_specificity:g}"
    axes.add_patch(
        Rectangle(corner, 1 - recipe.triage_specificity, height, facecolor="#d9e8d5", edgecolor="none", label=label)
    )


def _reliability_line(
    axes: Axes, given: Floats, happened: Mask, films: ScoredFilms, *, seed: int, colour: str, label: str, marker: str
) -> None:
    bins = reliability(given, happened, films.patients, bins=min(BINS, max(2, len(films) // 20)), seed=seed)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    spread = np.abs(np.stack([bins.low, bins.high]) - bins.observed)
    axes.errorbar(
        bins.given,
        bins.observed,
        yerr=spread,
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1.3,
        elinewidth=0.8,
        label=label,
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _forest(axes: Axes, heights: Floats, estimates: Sequence[Estimate | None]) -> None:
    for height, estimate in zip(heights, estimates, strict=True):
        colour = INK if height == heights[0] else "#1f6f9f"
        if estimate is None or estimate.value is None:
            place = axes.get_yaxis_transform()
            axes.text(0.99, height, "undefined", transform=place, ha="right", va="center", fontsize=7, color=GREY)
            continue
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [height, height], color=colour, linewidth=1.6)
        axes.plot(estimate.value, height, marker="D" if height == heights[0] else "o", color=colour, markersize=5)
    overall = estimates[0]
    if overall is not None and overall.value is not None:
        axes.axvline(overall.value, color=GREY, linewidth=1, linestyle=":", zorder=0)


def _labelled(words: str, report: MetricsReport, group: str, name: str) -> str:
    values = report.overall if group == "overall" else report.per_class[group]
    number = Number.metric(name, values[name])
    return f"{words} {number.text}" + (f" ({number.interval})" if number.interval else "")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
