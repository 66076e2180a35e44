import pytest

from cxr.reporting.tidy import tidy_metrics, tidy_robustness
from support.synthetic_run import Draws, draw_metrics, draw_robustness


def test_every_value_of_the_metrics_is_one_row():
    report = draw_metrics(Draws(1))
    table = tidy_metrics(report)
    assert list(table.columns) == ["level", "name", "films", "metric", "value", "low", "high", "reason"]
    assert not table.duplicated(["level", "name", "metric"]).any()
    by_name = table.set_index(["level", "name", "metric"])
    assert by_name.loc[("overall", "", "macro_auroc"), "high"] == report.overall["macro_auroc"].high
    group = next(group for group in report.subgroups if group.value == "belarus")
    row = by_name.loc[("subgroup", "source=belarus", "macro_auroc")]
    assert (row["reason"], row["films"]) == (group.metrics["macro_auroc"].reason, 7)
    assert row[["value", "low", "high"]].isna().all()


def test_every_value_of_the_grid_is_one_row_with_its_amount():
    report = draw_robustness(Draws(1))
    amounts = {(r.corruption, r.severity): (r.severity / 10, "shares") for r in report.results}
    table = tidy_robustness(report, amounts=amounts)
    assert len(table) == 2 + 4 * (len(report.presets) + len(report.results))
    row = table.query("name == 'gamma' and severity == 3 and metric == 'macro_auroc'").iloc[0]
    assert (row["amount"], row["unit"]) == (pytest.approx(0.3), "shares")
    expected = next(r for r in report.results if (r.corruption, r.severity) == ("gamma", 3))
    assert row["value"] == expected.macro_auroc.value
    assert table.loc[table["level"] != "corruption", "severity"].isna().all()
