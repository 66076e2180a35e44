import msgspec
import pytest

from cxr.contracts.metrics import Estimate, MetricsReport
from cxr.reporting.forest import Axis, Forest, subgroup_forest


def plot(metrics: MetricsReport) -> Forest:
    forest = subgroup_forest(metrics)
    assert forest is not None
    return forest


def position(axis: Axis, value: float) -> float:
    return 100 * (value - axis.low) / (axis.high - axis.low)


def test_marks_lie_where_their_values_are(metrics: MetricsReport):
    forest = plot(metrics)
    for row in forest.rows:
        for axis, mark in zip(forest.axes, row.marks, strict=True):
            number = mark.number
            for at, value in ((mark.at, number.value), (mark.left, number.low), (mark.right, number.high)):
                assert (at is None) == (value is None)
                if at is not None and value is not None:
                    assert 0 <= at <= 100
                    assert at == pytest.approx(position(axis, value), abs=0.01)


def test_the_first_row_is_all_films_and_lies_on_the_reference(metrics: MetricsReport):
    forest = plot(metrics)
    assert forest.rows[0].label == "All films"
    assert [mark.at for mark in forest.rows[0].marks] == [axis.reference for axis in forest.axes]


def test_an_undefined_value_has_no_mark(metrics: MetricsReport):
    row = next(row for row in plot(metrics).rows if row.label == "Source: belarus")
    assert row.marks[0].at is not None
    assert row.marks[1].at is None


def test_a_metric_that_no_subgroup_defines_has_no_axis(metrics: MetricsReport):
    undefined = Estimate(value=None, reason="one class")
    groups = [msgspec.structs.replace(g, metrics=g.metrics | {"macro_auroc": undefined}) for g in metrics.subgroups]
    forest = plot(msgspec.structs.replace(metrics, subgroups=tuple(groups)))
    assert [axis.label for axis in forest.axes] == ["Accuracy"]


def test_without_subgroups_there_is_no_plot(metrics: MetricsReport):
    assert subgroup_forest(msgspec.structs.replace(metrics, subgroups=())) is None


def test_perfect_values_keep_an_axis_of_some_length(metrics: MetricsReport):
    perfect = {name: Estimate(value=1.0, low=1.0, high=1.0) for name in ("accuracy", "macro_auroc")}
    groups = tuple(msgspec.structs.replace(g, metrics=perfect) for g in metrics.subgroups)
    forest = plot(msgspec.structs.replace(metrics, subgroups=groups, overall=metrics.overall | perfect))
    assert {mark.at for row in forest.rows for mark in row.marks} == {100.0}
