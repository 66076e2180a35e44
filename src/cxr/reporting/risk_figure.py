"""Wrong decisions against the share of films decided, as a figure."""

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cxr.contracts.metrics import MetricsReport
from cxr.evaluation.curves import risk_coverage_band
from cxr.evaluation.scored import ScoredFilms
from cxr.reporting.palette import GREY, GRID, INK
from cxr.reporting.tables import Number

RISK_FIGURE = "risk_coverage"


def draw_risk_coverage(films: ScoredFilms, report: MetricsReport, *, seed: int) -> Figure:
    """Share of wrong decisions as less sure films are decided too, and where the limit of the model lies."""
    figure = Figure(figsize=(6.4, 3.8), dpi=160, layout="constrained")
    axes = figure.subplots()
    band = risk_coverage_band(films, seed=seed)
    selective = report.selective
    label = "" if selective is None else f"AURC {Number.of(selective.aurc, 'score').text}"
    axes.fill_between(band.x, band.low, band.high, color=INK, alpha=0.14, linewidth=0)
    axes.plot(band.x, band.y, color=INK, linewidth=1.8, label=label or None)
    if selective is not None:
        target = selective.target_error
        axes.axhline(target, color=GREY, linewidth=1, linestyle=":", label=f"to tolerate, {100 * target:g}%")
        if selective.refer_rate.value is not None and selective.error.value is not None:
            place = (1 - selective.refer_rate.value, selective.error.value)
            words = f"limit {selective.refer_below:.3f}, fitted on validation"
            axes.plot(*place, "o", color="#c4622d", markersize=7, markeredgecolor=INK, label=words, zorder=5)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="Films decided, the surest first", ylabel="Decided wrongly", xlim=(0, 1.01), ylim=(0, None))
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure
