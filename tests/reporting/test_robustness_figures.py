import io

import numpy as np
import pytest

from cxr.contracts.metrics import CorruptionResult, Estimate, RobustnessReport
from cxr.imaging.corrupt import CORRUPTIONS
from cxr.reporting.robustness_figures import draw_corruptions, draw_robustness

NOTHING = Estimate(value=None, reason="only one finding among these films")


def cell(corruption, severity, drop, auroc_drop=NOTHING):
    return CorruptionResult(
        corruption=corruption,
        severity=severity,
        accuracy=Estimate(value=0.9),
        macro_auroc=NOTHING,
        accuracy_drop=drop,
        macro_auroc_drop=auroc_drop,
    )


def report(*cells):
    return RobustnessReport(
        films=9,
        patients=9,
        index="i",
        model="m",
        clean_accuracy=Estimate(value=0.95),
        clean_macro_auroc=NOTHING,
        results=cells,
        presets={},
    )


CELLS = (
    cell("blur", 1, Estimate(value=0.0, low=-0.01, high=0.01)),
    cell("blur", 3, Estimate(value=0.2, low=0.1, high=0.3), Estimate(value=0.05, low=-0.01, high=0.1)),
    cell("jpeg", 1, Estimate(value=-0.02, low=-0.04, high=-0.01)),
)


def test_numbers_are_points_and_bold_where_the_interval_leaves_out_zero():
    accuracy, auroc = draw_robustness(report(*CELLS), clinical=[("blur", 1), ("motion", 1)]).axes
    shown = {text.get_text(): text.get_fontweight() for text in accuracy.texts}
    assert shown == {"0.0": "normal", "20.0": "bold", "−2.0": "bold", "—": "normal"}
    assert sorted(text.get_text() for text in auroc.texts) == ["0.050", "—", "—", "—"]
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["blur", "jpeg"]
    assert [label.get_text() for label in accuracy.get_xticklabels()] == ["1", "3"]
    assert len(accuracy.patches) == 1


@pytest.mark.parametrize("cells", [CELLS[:1], CELLS[1:2], CELLS])
def test_it_can_be_drawn_of_any_part_of_the_grid(cells):
    draw_robustness(report(*cells), clinical=[]).savefig(io.BytesIO(), dpi=40)


def test_the_sheet_shows_every_corruption():
    figure = draw_corruptions(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8), seed=1)
    titles = " ".join(axes.get_title(loc="left") for axes in figure.axes)
    assert all(name.replace("_", " ") in titles for name in CORRUPTIONS)
    assert sum(len(axes.images) for axes in figure.axes) == len(CORRUPTIONS)
