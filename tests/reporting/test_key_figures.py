import msgspec
import pytest

from cxr.contracts.metrics import Estimate
from cxr.reporting.key_figures import KeyFigure, key_figure_table, key_figures, triage_point
from cxr.reporting.provenance import Drawn
from support.synthetic_run import SyntheticRun


def figures(
    run: SyntheticRun, *, accuracy: Estimate | None = None, drop: Estimate | None = None, drawn: Drawn = "none"
) -> list[KeyFigure]:
    metrics, robustness = run.metrics, run.robustness
    if accuracy:
        metrics = msgspec.structs.replace(metrics, overall=metrics.overall | {"accuracy": accuracy})
    if drop:
        presets = robustness.presets | {"clinical": robustness.presets["clinical"] | {"accuracy_drop": drop}}
        robustness = msgspec.structs.replace(robustness, presets=presets)
    found = key_figures(
        manifest=run.manifest, metrics=metrics, robustness=robustness, localisation=run.localisation, drawn=drawn
    )
    return list(found)


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (0.78, 0.9, "Above the ancestor"),
        (0.7, 0.77, "Below the ancestor"),
        (0.75, 0.8, "Interval includes the ancestor's"),
    ],
)
def test_a_figure_is_above_the_ancestor_only_when_its_whole_interval_is(
    run: SyntheticRun, low: float, high: float, reading: str
):
    figure = figures(run, accuracy=Estimate(value=(low + high) / 2, low=low, high=high))[1]
    assert (figure.ancestor, figure.reading) == ("77.8%", reading)


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (-0.01, 0.02, "Within the ancestor's bound"),
        (0.021, 0.05, "Over the ancestor's bound"),
        (0.01, 0.03, "Interval includes the ancestor's bound"),
    ],
)
def test_less_is_better_for_a_loss(run: SyntheticRun, low: float, high: float, reading: str):
    figure = figures(run, drop=Estimate(value=(low + high) / 2, low=low, high=high))[2]
    assert figure.reading == reading


def test_without_an_interval_nothing_is_claimed(run: SyntheticRun):
    assert figures(run, accuracy=Estimate(value=0.99))[1].reading == ""


@pytest.mark.parametrize(
    ("drawn", "reading"),
    [("some", "Not comparable: phantoms among the films"), ("all", "Not comparable: phantoms")],
)
def test_drawn_films_are_not_compared_with_the_ancestors(run: SyntheticRun, drawn: Drawn, reading: str):
    assert {figure.reading for figure in figures(run, drawn=drawn)[:3]} == {reading}


def test_a_figure_that_was_not_measured_says_so(run: SyntheticRun):
    robustness = msgspec.structs.replace(run.robustness, presets={})
    calibration = msgspec.structs.replace(run.calibration, operating_points=())
    found = key_figures(
        manifest=msgspec.structs.replace(run.manifest, calibration=calibration),
        metrics=run.metrics,
        robustness=robustness,
        localisation=run.localisation,
        drawn="none",
    )
    assert [figure.number.reason for figure in found[2:5]] == ["not measured"] * 3
    assert triage_point(calibration) is None


def test_the_table_holds_every_figure(run: SyntheticRun):
    found = figures(run)
    table = key_figure_table(tuple(found))
    assert [row[1] for row in table.rows] == [figure.number for figure in found]
    assert [row[2] for row in table.rows][3:] == ["not reported"] * 3
