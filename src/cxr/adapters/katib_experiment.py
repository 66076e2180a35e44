"""A Katib Experiment (kubeflow.org/v1beta1) rendered from the recipe and its search space.

Katib's server accepts any Experiment, right or wrong, so what it would sample otherwise than the space says is refused
here, and a manifest must come back whole from Katib's own models.
"""

import math
import re
from typing import Any

import msgspec
from kubeflow_katib_api.models import V1beta1Experiment

from cxr.adapters.custom_objects import IDENTITY
from cxr.adapters.katib_trial import CONTAINER, placeholder_name, trial_job
from cxr.contracts.cluster import Cluster, SharedFilms
from cxr.contracts.files import value_digest
from cxr.contracts.recipe import Recipe
from cxr.contracts.search import PRUNING_EPOCH, PRUNING_TRIALS, STARTUP_TRIALS, Algorithm, Parameter
from cxr.contracts.search_rules import check_search, grid_values
from cxr.errors import RecipeError, SearchError

API_VERSION = "kubeflow.org/v1beta1"
METRIC = "validation_macro_auroc"
FILTER = rf"({METRIC})=(\d+\.\d+)"
"""What the metrics collector looks for in the output; the first group is the metric's name, the second its value."""

_WORD = re.compile(r"[\w.+-]+", re.ASCII)
_SMALLEST = 1e-10

Value = float | int | str | bool


def render_experiment(recipe: Recipe, cluster: Cluster, films: SharedFilms, *, index: str) -> dict[str, Any]:
    """The Experiment that searches the recipe's search space; the same search has the same name.

    Args:
        recipe: what is searched, and the values of all other fields.
        cluster: where trials run, how many at a time, and how many may fail.
        films: on the claim.
        index: digest of the study index; with other films it is another search.

    Raises:
        RecipeError: the search space does not fit the recipe, or Katib would search something else.
    """
    check_katib(recipe)
    spec = _spec(recipe, cluster, films)
    identity = value_digest(_Identity(spec=spec, index=index))
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "Experiment",
        "metadata": {
            "name": f"cxr-search-{identity[:12]}",
            "namespace": cluster.namespace,
            "labels": {"app.kubernetes.io/name": "cxr", "app.kubernetes.io/component": "search"},
            "annotations": {IDENTITY: identity},
        },
        "spec": spec,
    }
    check_manifest(manifest)
    return manifest


def planned_trials(recipe: Recipe) -> int:
    """Trials that Katib will make: a grid may hold fewer points than `search.trials`."""
    space = recipe.search
    if space.algorithm != "grid":
        return space.trials
    return min(space.trials, math.prod(len(grid_values(parameter)) for parameter in space.parameters))


def check_katib(recipe: Recipe) -> None:
    """Check that Katib searches what the recipe's search space says; raises `RecipeError` with the reason if not."""
    check_search(recipe)
    space = recipe.search
    if space.trials == 0:
        raise RecipeError("search.trials must be at least 1 for a search in Katib, is 0")
    if space.objective != "macro_auroc":
        raise RecipeError(
            f"search.objective must be macro_auroc in Katib, whose trials train one network each, is "
            f"{space.objective}; search on one machine, or set search.objective=macro_auroc"
        )
    if space.films:
        raise RecipeError(
            f"search.films must be 0 in Katib, whose trials train on all training films, is {space.films}; "
            "set search.films=0, or search on one machine"
        )
    for parameter in space.parameters:
        broken = _mis_sampled(parameter, space.algorithm)
        if broken:
            raise RecipeError(f"search.parameters: {broken}")


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise `SearchError` unless Katib's models know every field: they drop what they don't know without a word."""
    try:
        model = V1beta1Experiment.from_dict(manifest)
    except (ValueError, TypeError, AttributeError) as error:
        raise SearchError(f"the Experiment must fit Katib's models: {error}") from error
    lost = sorted(_lost(manifest, model.to_dict() if model else {}, ""))
    if lost:
        raise SearchError(f"the Experiment must hold only fields that Katib knows, {', '.join(lost)} are lost in them")


def value_text(value: Value) -> str:
    """A value as Katib carries it, and as `cxr train --set` reads it.

    >>> value_text(True), value_text(16), value_text(1e-05)
    ('true', '16', '1e-05')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_value(parameter: Parameter, text: str) -> Value:
    """The value that Katib's text stands for; raises `SearchError` when the space has no such value."""
    choices = {value_text(choice): choice for choice in parameter.choices}
    try:
        if choices:
            return choices[text]
        number = float(text)
        if not math.isfinite(number) or (parameter.kind == "int" and not number.is_integer()):
            raise ValueError(text)
    except (KeyError, ValueError) as error:
        raise SearchError(f"Katib must give {parameter.field} a value of the search space, gave {text!r}") from error
    return int(number) if parameter.kind == "int" else number


class _Identity(msgspec.Struct):
    spec: dict[str, Any]
    index: str


def _spec(recipe: Recipe, cluster: Cluster, films: SharedFilms) -> dict[str, Any]:
    space, planned = recipe.search, planned_trials(recipe)
    spec: dict[str, Any] = {
        "objective": {
            "type": "maximize",
            "objectiveMetricName": METRIC,
            # of a trial's epochs the best, as the checkpoint keeps the best one's weights
            "metricStrategies": [{"name": METRIC, "value": "max"}],
        },
        "algorithm": {"algorithmName": space.algorithm, "algorithmSettings": _settings(recipe)},
        "parallelTrialCount": min(cluster.search.parallel, planned),
        "maxTrialCount": planned,
        "maxFailedTrialCount": min(cluster.search.failures, planned),
        "resumePolicy": "Never",
        "metricsCollectorSpec": {
            "collector": {"kind": "StdOut"},
            "source": {"filter": {"metricsFormat": [FILTER]}},
        },
        "parameters": [_parameter(parameter, space.algorithm) for parameter in space.parameters],
        "trialTemplate": {
            "primaryContainerName": CONTAINER,
            "retain": True,  # or the pods of failed trials go, and their last words with them
            "successCondition": 'status.conditions.#(type=="Complete")#|#(status=="True")#',
            "failureCondition": 'status.conditions.#(type=="Failed")#|#(status=="True")#',
            "trialParameters": [
                {"name": placeholder_name(p.field), "reference": p.field, "description": f"{p.field} of the recipe"}
                for p in space.parameters
            ],
            "trialSpec": trial_job(recipe, cluster, films),
        },
    }
    if space.pruning and space.epochs > PRUNING_EPOCH:  # Katib looks once, after that epoch
        limits = {"min_trials_required": PRUNING_TRIALS, "start_step": PRUNING_EPOCH}
        spec["earlyStopping"] = {"algorithmName": "medianstop", "algorithmSettings": _pairs(limits)}
    return spec


def _settings(recipe: Recipe) -> list[dict[str, str]]:
    seed = {"random_state": recipe.seed}
    settings: dict[Algorithm, dict[str, Value]] = {
        "bayesianoptimization": {
            "base_estimator": "GP",
            "n_initial_points": STARTUP_TRIALS,
            "acq_func": "gp_hedge",
            "acq_optimizer": "auto",
            **seed,
        },
        "tpe": {"n_startup_trials": STARTUP_TRIALS, **seed},
        "random": {**seed},
        "grid": {**seed},
    }
    return _pairs(settings[recipe.search.algorithm])


def _pairs(settings: dict[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": value_text(value)} for name, value in settings.items()]


def _parameter(parameter: Parameter, algorithm: Algorithm) -> dict[str, Any]:
    if parameter.minimum is None or parameter.maximum is None:
        kind, feasible = "categorical", _listed(parameter.choices)
    elif algorithm == "grid":
        # Katib's own grid of doubles goes past the maximum by a rounding error, so it is given the points
        kind, feasible = "discrete", _listed(grid_values(parameter))
    else:
        kind = parameter.kind
        number = int if kind == "int" else float
        log = parameter.scale == "log" or (algorithm == "bayesianoptimization" and kind == "double")
        feasible = {
            "min": value_text(number(parameter.minimum)),
            "max": value_text(number(parameter.maximum)),
            "distribution": "logUniform" if log else "uniform",
        }
        if parameter.step is not None:
            feasible["step"] = value_text(number(parameter.step))
    return {"name": parameter.field, "parameterType": kind, "feasibleSpace": feasible}


def _listed(values: tuple[Value, ...]) -> dict[str, Any]:
    return {"list": [value_text(value) for value in values]}


def _mis_sampled(parameter: Parameter, algorithm: Algorithm) -> str | None:
    """Why Katib would search otherwise than the space says, beyond what `check_search` refuses for every search."""
    name, low = parameter.field, parameter.minimum
    if algorithm == "bayesianoptimization" and parameter.kind == "int" and parameter.scale == "log":
        return (
            f"{name} must have a linear scale under bayesianoptimization, which samples every int uniformly in Katib; "
            "make it categorical or use search.algorithm=tpe"
        )
    if parameter.scale == "log" and low is not None and low < _SMALLEST:
        return f"{name} must have minimum >= {_SMALLEST:g}, where Katib's log scale begins, has {low:g}; raise it"
    for choice in parameter.choices:
        if not _WORD.fullmatch(value_text(choice)):
            return (
                f"the choices of {name} must be letters, digits and any of . _ + - in Katib, which writes them into "
                f"the trial's command, one is {choice!r}"
            )
    return None


def _lost(sent: Any, kept: Any, path: str) -> list[str]:
    """Paths of what is in `sent` and not, or otherwise, in `kept`."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        below = ((value, kept.get(name), f"{path}.{name}".lstrip(".")) for name, value in sent.items())
        return [lost for one in below for lost in _lost(*one)]
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        items = ((*pair, f"{path}[{n}]") for n, pair in enumerate(zip(sent, kept, strict=True)))
        return [lost for one in items for lost in _lost(*one)]
    return [] if sent == kept else [path]
