"""How training went, as a figure."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr.contracts.checkpoint import History
from cxr.reporting.palette import GREY, GRID

_BLUE, _ORANGE = "#1f6f9f", "#c4622d"


def draw_training(history: History) -> Figure:
    """Losses, validation performance and learning rate by epoch; the dotted line is the epoch that was kept.

    The training loss is the recipe's, with its class weights and on augmented films, and validation's is plain
    cross-entropy, so each has its own panel.
    """
    figure = Figure(figsize=(12.4, 3.1), dpi=160, layout="constrained")
    panels = figure.subplots(1, 4)
    loss, validation, performance, rate = panels
    epochs = history.epochs
    numbers = [epoch.epoch for epoch in epochs]
    _curve(loss, numbers, [epoch.loss for epoch in epochs], "training loss", _BLUE)
    _curve(validation, numbers, [epoch.validation_loss for epoch in epochs], "validation loss", _ORANGE)
    _curve(performance, numbers, [epoch.validation_macro_auroc for epoch in epochs], "macro AUROC", _ORANGE)
    _curve(performance, numbers, [epoch.validation_accuracy for epoch in epochs], "accuracy", GREY)
    _curve(rate, numbers, [epoch.learning_rate for epoch in epochs], "learning rate", _BLUE)
    titles = ("Training loss", "Validation cross-entropy", "Validation performance", "Learning rate, end of epoch")
    for axes, title in zip(panels, titles, strict=True):
        _finish(axes, title, history.best_epoch)
    for axes in (loss, validation):
        axes.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    performance.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _curve(axes: Axes, epochs: list[int], values: list[float], label: str, colour: str) -> None:
    axes.plot(epochs, values, label=label, color=colour, linewidth=1.6, marker="o", markersize=3)


def _finish(axes: Axes, title: str, best_epoch: int) -> None:
    axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":", label="epoch kept")
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
