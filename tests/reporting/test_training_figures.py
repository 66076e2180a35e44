import io

import msgspec
import numpy as np

from cxr.contracts.checkpoint import History
from cxr.reporting.training_figures import draw_training


def test_every_curve_holds_the_values_of_the_history(history: History):
    figure = draw_training(history)
    drawn = {line.get_label(): np.asarray(line.get_ydata()) for axes in figure.axes for line in axes.get_lines()}
    fields = {
        "training loss": "loss",
        "validation loss": "validation_loss",
        "macro AUROC": "validation_macro_auroc",
        "accuracy": "validation_accuracy",
        "learning rate": "learning_rate",
    }
    for label, field in fields.items():
        assert drawn[label].tolist() == [getattr(epoch, field) for epoch in history.epochs]


def test_the_epoch_that_was_kept_is_marked_on_every_panel(history: History):
    for axes in draw_training(history).axes:
        (mark,) = [line for line in axes.get_lines() if line.get_label() == "epoch kept"]
        assert set(mark.get_xdata()) == {history.best_epoch}


def test_a_single_epoch_can_be_drawn(history: History):
    single = msgspec.structs.replace(history, best_epoch=1, epochs=history.epochs[:1])
    draw_training(single).savefig(io.BytesIO(), format="png")
