"""Reports as tidy tables: one value per row, for spreadsheets and statistics programs."""

from collections.abc import Iterator, Mapping

import pandas as pd

from cxr.contracts.metrics import CorruptionResult, Estimate, MetricsReport, RobustnessReport

_METRICS = ("accuracy", "macro_auroc", "accuracy_drop", "macro_auroc_drop")


def tidy_metrics(report: MetricsReport) -> pd.DataFrame:
    """Columns level, name, films, metric, value, low, high, reason.

    `level` is "overall", "finding", "operating_point" or "subgroup"; `name` is which one, "<attribute>=<value>" for a
    subgroup. `films` is the number of films measured.
    """
    rows = list(_rows("overall", "", report.films, report.overall))
    for finding, metrics in report.per_class.items():
        rows += _rows("finding", finding, report.films, metrics)
    for key, metrics in report.operating_points.items():
        rows += _rows("operating_point", key, report.films, metrics)
    for group in report.subgroups:
        rows += _rows("subgroup", f"{group.attribute}={group.value}", group.films, group.metrics)
    return pd.DataFrame(rows)


def tidy_robustness(report: RobustnessReport, *, amounts: Mapping[tuple[str, int], tuple[float, str]]) -> pd.DataFrame:
    """Columns level, name, severity, amount, unit, metric, value, low, high, reason.

    `level` is "clean", "preset" or "corruption"; severity, amount and unit are those of a corruption.

    Args:
        report: the grid.
        amounts: corruption and severity to its physical amount and unit.
    """
    clean = {"accuracy": report.clean_accuracy, "macro_auroc": report.clean_macro_auroc}
    rows = [*_rows("clean", "", report.films, clean)]
    for preset, metrics in report.presets.items():
        rows += _rows("preset", preset, report.films, metrics)
    for result in report.results:
        amount, unit = amounts[result.corruption, result.severity]
        place = {"severity": result.severity, "amount": amount, "unit": unit}
        rows += [row | place for row in _rows("corruption", result.corruption, report.films, _metrics(result))]
    columns = ["level", "name", "severity", "amount", "unit", "metric", "value", "low", "high", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"severity": "Int64"})


def _rows(level: str, name: str, films: int, metrics: Mapping[str, Estimate]) -> Iterator[dict[str, object]]:
    for metric, estimate in metrics.items():
        yield {
            "level": level,
            "name": name,
            "films": films,
            "metric": metric,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "reason": estimate.reason,
        }


def _metrics(result: CorruptionResult) -> dict[str, Estimate]:
    return {name: getattr(result, name) for name in _METRICS}
