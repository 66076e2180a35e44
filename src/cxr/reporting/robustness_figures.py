"""What corruptions do to a model's figures, and what they look like."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxr.contracts.metrics import Estimate, RobustnessReport
from cxr.imaging.corrupt import CORRUPTIONS, SEVERITIES, corrupt
from cxr.reporting.palette import GREY, INK

_LOSS = LinearSegmentedColormap.from_list(
    "loss", [(0, "#1f6f9f"), (0.5, "#ffffff"), (0.7, "#eeb08e"), (0.87, "#b3401c"), (1, "#6e1f0a")]
)
_COLUMNS = 3


def draw_robustness(report: RobustnessReport, *, clinical: Sequence[tuple[str, int]]) -> Figure:
    """What each corruption costs at each severity, in points of accuracy and in macro AUROC.

    Numbers in bold differ from clean films (the 95% interval of the paired drop leaves out zero); frames mark what a
    well-run department meets, dashes what was not measured.

    Args:
        report: a grid of at least one cell.
        clinical: corruptions and severities to frame.
    """
    names = list(dict.fromkeys(result.corruption for result in report.results))
    severities = sorted({result.severity for result in report.results})
    figure = Figure(figsize=(5.2 + 0.9 * len(severities), 1.9 + 0.33 * len(names)), dpi=160, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric in zip(panels, ("accuracy", "macro_auroc"), strict=True):
        drops = {(r.corruption, r.severity): getattr(r, f"{metric}_drop") for r in report.results}
        _heat_map(axes, names, severities, drops, share=metric == "accuracy")
        for corruption, severity in clinical:
            if (corruption, severity) in drops:
                corner = (severities.index(severity) - 0.5, names.index(corruption) - 0.5)
                axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, linewidth=0.9, clip_on=False))
    panels[0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    panels[0].set_title(f"Points of accuracy lost\n{_clean('accuracy', report.clean_accuracy, share=True)}", fontsize=9)
    panels[1].set_title(f"Macro AUROC lost\n{_clean('macro AUROC', report.clean_macro_auroc, share=False)}", fontsize=9)
    figure.supxlabel("Bold: differs from clean films.  Frame: met in a well-run department.", fontsize=8, color=GREY)
    return figure


def draw_corruptions(film: npt.NDArray[np.uint8], *, seed: int) -> Figure:
    """One film [S, S] under every corruption at every severity, before it is preprocessed again."""
    rows = -(-len(CORRUPTIONS) // _COLUMNS)
    figure = Figure(figsize=(5.2 * _COLUMNS, 0.3 + 1.08 * rows), dpi=130, layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    batch = torch.from_numpy(film)[None, None]
    for axes, name in zip(grid.T.flat, CORRUPTIONS, strict=False):
        strip = [batch.float() / 255, *(corrupt(batch, name, severity, seeds=[seed]) for severity in SEVERITIES)]
        axes.imshow(torch.cat(strip, dim=3)[0, 0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        side = film.shape[1]
        for severity in SEVERITIES:
            axes.axvline(severity * side - 0.5, color="white", linewidth=1.5)
        axes.set_title(name.replace("_", " "), fontsize=9, loc="left", pad=2)
    for axes in grid.flat:
        axes.set_axis_off()
    figure.suptitle("The film as it is, then severities 1 to 5", fontsize=9, color=GREY)
    return figure


def _heat_map(
    axes: Axes, names: Sequence[str], severities: Sequence[int], drops: dict[tuple[str, int], Estimate], *, share: bool
) -> None:
    scale = 100 if share else 1
    values = np.full((len(names), len(severities)), np.nan)
    for (corruption, severity), drop in drops.items():
        if drop.value is not None:
            values[names.index(corruption), severities.index(severity)] = drop.value * scale
    least = 10 if share else 0.05
    most = max(least, np.abs(np.nan_to_num(values)).max())
    axes.imshow(np.nan_to_num(values), cmap=_LOSS, vmin=-most, vmax=most, aspect="auto")
    for row, column in np.argwhere(np.isnan(values)):
        axes.text(column, row, "—", ha="center", va="center", fontsize=8, color=GREY)
    for (corruption, severity), drop in drops.items():
        row, column = names.index(corruption), severities.index(severity)
        value = values[row, column]
        if np.isnan(value):
            continue
        text = f"{value:.1f}" if share else f"{value:.3f}"
        colour = "white" if value > 0.62 * most or value < -0.75 * most else INK
        weight = "bold" if drop.low is not None and drop.high is not None and drop.low * drop.high > 0 else "normal"
        text = text.replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour, fontweight=weight)
    axes.set_xticks(range(len(severities)), [str(severity) for severity in severities])
    axes.set_xlabel("Severity")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _clean(words: str, estimate: Estimate, *, share: bool) -> str:
    if estimate.value is None:
        return f"clean {words} undefined"
    return f"clean {words} {100 * estimate.value:.1f}%" if share else f"clean {words} {estimate.value:.3f}"
