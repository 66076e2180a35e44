import io

import msgspec
import pytest
from PIL import Image

from cxr.contracts.search import Parameter, SearchSpace
from cxr.contracts.search_report import SearchReport, Trial
from cxr.reporting.search_figures import draw_search

SPACE = SearchSpace(
    parameters=(
        Parameter(field="optimiser.learning_rate", kind="double", minimum=1e-4, maximum=1e-2, scale="log"),
        Parameter(field="schedule.patience", kind="int", minimum=1, maximum=5),
        Parameter(field="loss.kind", kind="categorical", choices=("focal", "cross_entropy")),
        Parameter(field="schedule.batch_size", kind="categorical", choices=(16, 32, 64)),
    )
)


def trial(number, *curve, state="complete", rate=1e-3, batch=32):
    return Trial(
        number=number,
        state=state,
        parameters={
            "optimiser.learning_rate": rate,
            "schedule.patience": 3,
            "loss.kind": "focal",
            "schedule.batch_size": batch,
        },
        value=max(curve, default=None),
        curve=curve,
        seconds=1.0,
    )


def report(*trials, importance=None):
    complete = [trial for trial in trials if trial.state == "complete"]
    return SearchReport(
        algorithm="tpe",
        seed=1,
        planned=len(trials),
        epochs=2,
        films=10,
        index="i",
        trials=trials,
        best=max(complete, key=lambda trial: trial.value).number,
        importance=importance,
    )


FULL = report(
    trial(0, 0.6, 0.8),
    trial(1, 0.7, 0.9, rate=1e-4),
    trial(2, 0.5, state="pruned", rate=1e-2, batch=64),
    trial(3, state="failed", rate=5e-3),
    importance={"optimiser.learning_rate": 0.75, "schedule.batch_size": 0.25},
)


def lines(axes, **wanted):
    return [
        line for line in axes.lines if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def test_every_trial_is_there_as_what_it_became():
    history, curves, _importance = [axes for axes in draw_search(FULL, SPACE).axes if axes.get_title()][1:4]
    best = history.lines[0]
    assert list(best.get_xdata()) == [0, 1]
    assert list(best.get_ydata()) == [0.8, 0.9]
    points = {dots.get_label(): dots.get_offsets().tolist() for dots in history.collections}
    assert points["complete"] == [[0, 0.8], [1, 0.9]]
    assert points["pruned"] == [[2, 0.5]]
    assert [x for x, _ in points["failed"]] == [3]
    assert sorted(tuple(line.get_ydata()) for line in curves.lines) == [(0.5,), (0.6, 0.8), (0.7, 0.9)]
    assert lines(curves, label="trial 1, kept", color="#c4622d")


def test_a_search_without_curves_is_drawn():
    bare = [trial(1), trial(2), trial(3, state="pruned")]
    known = [msgspec.structs.replace(one, value=0.7 + one.number / 10) for one in bare]
    figure = draw_search(report(*known), SPACE)
    figure.savefig(io.BytesIO(), format="png")


def test_values_lie_on_their_axis_between_the_bounds():
    values = next(axes for axes in draw_search(FULL, SPACE).axes if axes.get_title().startswith("Values"))
    heights = {tuple(round(y, 6) for y in line.get_ydata()) for line in values.lines if len(line.get_xdata()) == 4}
    assert heights == {(0.5, 0.5, 0.0, 0.5), (0.0, 0.5, 0.0, 0.5), (1.0, 0.5, 0.0, 1.0), (0.849485, 0.5, 0.0, 0.5)}
    words = {text.get_text() for text in values.texts}
    assert {"0.0001", "0.01", "1", "5", "focal", "cross_entropy", "16", "32", "64"} == words


def test_what_mattered_is_ranked_and_left_out_where_it_is_unknown():
    titles = [axes.get_title() for axes in draw_search(FULL, SPACE).axes]
    assert "Share of the variance (fANOVA)" in titles
    bars = draw_search(FULL, SPACE).axes[titles.index("Share of the variance (fANOVA)")].patches
    assert [bar.get_width() for bar in bars] == [0.25, 0.75]
    few = report(trial(0, 0.6))
    assert "Share of the variance (fANOVA)" not in [axes.get_title() for axes in draw_search(few, SPACE).axes]


@pytest.mark.parametrize(
    "drawn",
    [
        FULL,
        report(trial(0, 0.6)),
        report(trial(0, 1.0), trial(1, 1.0)),
        report(trial(0, 0.6, rate=1e-9, batch=24), trial(1, 0.5)),
    ],
)
def test_it_is_drawn_whatever_was_found(drawn):
    buffer = io.BytesIO()
    draw_search(drawn, SPACE).savefig(buffer)
    with Image.open(buffer) as image:
        assert len(image.convert("L").getcolors()) > 20
