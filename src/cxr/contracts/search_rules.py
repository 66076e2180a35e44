"""What a search space must satisfy, so that Optuna on one machine and Katib in a cluster search the same thing."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from cxr.contracts.overlay import fields, with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.search import Algorithm, Parameter
from cxr.errors import RecipeError

SEARCHABLE = ("model", "augmentation", "loss", "optimiser", "schedule")
"""Sections that a search may change; the films, the evaluation and the gate must be the same for every trial."""

LARGEST_GRID = 10_000

_FIXED = {
    "schedule.epochs": "search.epochs sets it for every trial",
    "schedule.refit_head": "trials that are judged epoch by epoch leave it out",
}


def check_search(recipe: Recipe) -> None:
    """Check the recipe's search space against the recipe and against Katib's and Optuna's rules.

    Raises:
        RecipeError: a field cannot be searched, a range is empty or goes beyond the field's own bounds, or the
            algorithm would sample a parameter otherwise than the space says.
    """
    space = recipe.search
    if space.trials and not space.parameters:
        raise RecipeError("search.parameters must name at least one field to search; or set search.trials=0")
    seen: set[str] = set()
    for parameter in space.parameters:
        if parameter.field in seen:
            raise RecipeError(f"search.parameters must name each field once, has {parameter.field} twice")
        seen.add(parameter.field)
        for rule in (_field_rule, _range_rule, _step_rule, _kind_rule, *_ALGORITHM_RULES[space.algorithm]):
            broken = rule(parameter)
            if broken:
                raise RecipeError(f"search.parameters: {broken}")
        _check_ends(parameter, recipe)
    if space.algorithm == "grid":
        points = math.prod(len(grid_values(parameter)) for parameter in space.parameters)
        if points > LARGEST_GRID:
            raise RecipeError(
                f"a grid must have at most {LARGEST_GRID:,} points, search.parameters span {points:,}; "
                "use larger steps, or search.algorithm=random"
            )


def grid_values(parameter: Parameter) -> tuple[float | int | str | bool, ...]:
    """Every value of a parameter on a grid, in order, for a parameter that `check_search` has passed.

    >>> grid_values(Parameter(field="model.dropout", kind="double", minimum=0.1, maximum=0.3, step=0.1))
    (0.1, 0.2, 0.3)
    """
    if parameter.minimum is None or parameter.maximum is None:
        return parameter.choices
    # in decimals, as they were written, so that 0.1 + 2 × 0.1 is 0.3
    low, high, step = (Decimal(str(n)) for n in (parameter.minimum, parameter.maximum, parameter.step or 1))
    points = [low + number * step for number in range(int((high - low) / step) + 1)]
    return tuple(int(point) if parameter.kind == "int" else float(point) for point in points)


def holds(parameter: Parameter, value: object) -> bool:
    """Whether a value is one that the search could draw.

    >>> holds(Parameter(field="loss.gamma", kind="double", minimum=0.5, maximum=3.0), 2.0)
    True
    """
    low, high = parameter.minimum, parameter.maximum
    if low is None or high is None:
        return value in parameter.choices
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return False
    return parameter.step is None or value in grid_values(parameter)


_Rule = Callable[[Parameter], str | None]


def _field_rule(parameter: Parameter) -> str | None:
    name = parameter.field
    if any(field.startswith(f"{name}.") for field in fields()):
        return f"{name} must be a single field, is a section"
    if name not in fields():
        with_values(Recipe(), {name: None}, origin="search.parameters")  # raises, with the nearest name
    if name.partition(".")[0] not in SEARCHABLE or name in _FIXED:
        note = _FIXED.get(name, "it must be the same for every trial")
        return f"{name} cannot be searched: {note}; search fields of {', '.join(SEARCHABLE)}"
    return None


def _range_rule(parameter: Parameter) -> str | None:
    name, low, high = parameter.field, parameter.minimum, parameter.maximum
    if parameter.kind == "categorical":
        if not parameter.choices or len(set(parameter.choices)) < len(parameter.choices):
            return f"{name} is categorical and must have distinct choices, has {list(parameter.choices)}"
        if (low, high, parameter.step, parameter.scale) != (None, None, None, "linear"):
            return f"{name} is categorical: it takes choices, and no minimum, maximum, step or scale"
        return None
    if parameter.choices:
        return f"{name} is {parameter.kind} and takes minimum and maximum; make it categorical to use choices"
    if low is None or high is None or not low < high:
        return f"{name} must have minimum < maximum, has {low} and {high}"
    if parameter.kind == "int" and not (float(low).is_integer() and float(high).is_integer()):
        return f"{name} is int and must have whole bounds, has {low:g} and {high:g}"
    if parameter.scale == "log" and low <= 0:
        return f"{name} has a log scale and must have minimum > 0, has {low:g}"
    return None


def _step_rule(parameter: Parameter) -> str | None:
    name, step = parameter.field, parameter.step
    if step is None:
        return None
    if parameter.scale == "log":
        return f"{name} has a log scale and cannot have a step; drop one, or make it categorical"
    span = (parameter.maximum or 0.0) - (parameter.minimum or 0.0)
    if not 0 < step <= span or (parameter.kind == "int" and not float(step).is_integer()):
        whole = "whole and " if parameter.kind == "int" else ""
        return f"the step of {name} must be {whole}above 0 and at most maximum - minimum ({span:g}), is {step:g}"
    return None


def _kind_rule(parameter: Parameter) -> str | None:
    default = fields()[parameter.field]
    if isinstance(default, list | tuple):
        return f"{parameter.field} is a list and cannot be searched"
    if parameter.kind != "categorical" and (isinstance(default, bool) or not isinstance(default, int | float)):
        return f"{parameter.field} must be categorical, is {parameter.kind}"
    if parameter.kind == "double" and isinstance(default, int):
        return f"{parameter.field} takes whole numbers: make it int or categorical"
    return None


def _bayesian_rule(parameter: Parameter) -> str | None:
    """Katib's skopt samples every double log-uniformly and ignores steps."""
    if parameter.kind == "double" and (parameter.minimum or 0.0) <= 0:
        return (
            f"{parameter.field} must have minimum > 0 under bayesianoptimization, which samples every double "
            f"log-uniformly in Katib, has {parameter.minimum:g}; raise it or use search.algorithm=tpe"
        )
    if parameter.step is not None:
        return (
            f"{parameter.field} cannot have a step under bayesianoptimization, which ignores it in Katib; "
            "make it categorical or use search.algorithm=tpe"
        )
    return None


def _grid_rule(parameter: Parameter) -> str | None:
    if parameter.kind == "double" and parameter.step is None:
        return f"{parameter.field} must have a step on a grid; give one, or make it categorical with choices"
    if parameter.kind == "int" and parameter.scale == "log":
        return f"{parameter.field} must be linear on a grid; make it categorical with choices"
    return None


_ALGORITHM_RULES: dict[Algorithm, tuple[_Rule, ...]] = {
    "bayesianoptimization": (_bayesian_rule,),
    "tpe": (),
    "random": (),
    "grid": (_grid_rule,),
}


def _check_ends(parameter: Parameter, recipe: Recipe) -> None:
    """The recipe must be valid at both ends of the range and with every choice."""
    ends: tuple[Any, ...] = parameter.choices or (parameter.minimum, parameter.maximum)
    for value in ends:
        with_values(recipe, {parameter.field: value}, origin="search.parameters")
