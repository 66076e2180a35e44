"""The Trials of a search in Katib, read back into the report that every search ends with."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kubeflow_katib_api.models import V1beta1Metric, V1beta1TrialStatus

from cxr.adapters.katib_experiment import METRIC, planned_trials, read_value
from cxr.contracts.recipe import Recipe
from cxr.contracts.search_report import SearchReport, Trial, TrialState
from cxr.errors import SearchError

_ENDS: tuple[tuple[str, TrialState], ...] = (
    ("Killed", "failed"),
    ("Failed", "failed"),
    ("Succeeded", "complete"),
    ("EarlyStopped", "pruned"),
    ("MetricsUnavailable", "failed"),
)
"""Conditions of a Trial that has ended, the telling ones first: one that is stopped early may have others too."""


def read_report(trials: Sequence[Mapping[str, Any]], recipe: Recipe, *, index: str, films: int) -> SearchReport:
    """The report of a search from its Trials, as the cluster holds them; those that have not ended are left out.

    Raises:
        SearchError: no trial was completed, or a value is none of the search space's.
    """
    ordered = sorted(trials, key=lambda trial: (trial["metadata"]["creationTimestamp"], trial["metadata"]["name"]))
    read = (_trial(number, trial, recipe) for number, trial in enumerate(ordered, start=1))
    ended = tuple(trial for trial in read if trial is not None)
    report = SearchReport.of(recipe, ended, planned=planned_trials(recipe), films=films, index=index)
    if report.best is None:
        reasons = "; ".join(sorted({trial.reason for trial in ended if trial.reason})) or "all were stopped early"
        raise SearchError(f"at least one trial must be completed, none of {len(ended)} was: {reasons}")
    return report


def _trial(number: int, found: Mapping[str, Any], recipe: Recipe) -> Trial | None:
    status = V1beta1TrialStatus.from_dict(found.get("status") or {}) or V1beta1TrialStatus()
    conditions = {c.type: c for c in status.conditions or [] if c.status == "True"}
    ended = next(((name, state) for name, state in _ENDS if name in conditions), None)
    if ended is None:
        return None
    name, state = ended
    reason = None
    if state == "failed":
        reason = conditions[name].message or conditions[name].reason or name
    metrics = (status.observation.metrics if status.observation else None) or []
    value = next((_best(metric) for metric in metrics if metric.name == METRIC), None)
    if state == "complete" and value is None:
        state, reason = "failed", f"reported no {METRIC}"
    return Trial(
        number=number,
        state=state,
        parameters=_parameters(found["spec"]["parameterAssignments"], recipe),
        value=value,
        curve=(),
        seconds=_seconds(status.start_time, status.completion_time),
        reason=reason,
    )


def _best(metric: V1beta1Metric) -> float | None:
    """The highest value of a metric; None where Katib has written "unavailable"."""
    try:
        return float(metric.max or "unavailable")
    except ValueError:
        return None


def _parameters(assignments: Sequence[Mapping[str, str]], recipe: Recipe) -> dict[str, float | int | str | bool]:
    given = {assignment["name"]: assignment["value"] for assignment in assignments}
    fields = [parameter.field for parameter in recipe.search.parameters]
    if set(given) != set(fields):
        raise SearchError(
            f"a trial must have values for {', '.join(fields)}, has some for {', '.join(given) or 'none'}"
        )
    return {parameter.field: read_value(parameter, given[parameter.field]) for parameter in recipe.search.parameters}


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return (end - start).total_seconds() if start and end else 0.0
