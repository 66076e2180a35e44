"""Changes on top of a recipe, checked field by field with errors that name the field, the value and the fix."""

import difflib
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.inspect import Field, IntType, LiteralType, StructType, TupleType, Type, VarTupleType, type_info

from cxr.contracts.recipe import Recipe
from cxr.contracts.written import explain
from cxr.errors import RecipeError


def overlay(recipe: Recipe, changes: Mapping[str, Any], *, origin: str) -> Recipe:
    """A recipe with some fields changed; sections need only hold what differs, lists are replaced.

    Args:
        recipe: what is changed; left as it is.
        changes: nested names and plain values.
        origin: where the changes come from, for errors.

    Raises:
        RecipeError: a name is unknown (the error gives the nearest) or a value breaks its type or bounds.
    """
    layer = _conform(changes, type_info(Recipe), "", origin)
    merged = _merge(msgspec.to_builtins(recipe), layer)
    try:
        return msgspec.convert(merged, Recipe)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{origin}: {explain(str(error), merged, type_info(Recipe), whole='a recipe')}") from error


def with_values(recipe: Recipe, values: Mapping[str, Any], *, origin: str = "search") -> Recipe:
    """A recipe with the fields of dotted names changed, e.g. `{"loss.gamma": 1.5}`; raises as `overlay` does."""
    changes: dict[str, Any] = {}
    for name, value in values.items():
        changes = _merge(changes, nested(name, value))
    return overlay(recipe, changes, origin=origin)


def nested(name: str, value: Any) -> dict[str, Any]:
    """The mapping that a dotted name stands for.

    >>> nested("loss.gamma", 1.5)
    {'loss': {'gamma': 1.5}}
    """
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def value_of(recipe: Recipe, name: str) -> Any:
    """Value of the field of a dotted name.

    >>> value_of(Recipe(), "loss.gamma")
    2.0
    """
    return functools.reduce(getattr, name.split("."), recipe)


def fields() -> dict[str, Any]:
    """Dotted name of every field of the recipe to its default, as plain values, in the order of the recipe."""
    return dict(_leaves(msgspec.to_builtins(Recipe()), ""))


def _leaves(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, f"{path}{name}.")
        else:
            yield path + name, inner


def _merge(base: Any, changes: Any) -> Any:
    if isinstance(base, dict) and isinstance(changes, dict):
        return {**base, **{name: _merge(base.get(name), value) for name, value in changes.items()}}
    return changes


def _conform(value: Any, kind: Type, path: str, origin: str) -> Any:
    """Check names and finiteness; whole floats become the integers that their fields want (KFP writes 3 as 3.0)."""
    if isinstance(kind, StructType) and isinstance(value, Mapping):
        known = {field.name: field for field in kind.fields}
        return {name: _member(name, inner, known, path, origin) for name, inner in value.items()}
    if isinstance(kind, VarTupleType) and isinstance(value, list | tuple):
        return [_conform(inner, kind.item_type, f"{path}[{n}]", origin) for n, inner in enumerate(value)]
    if isinstance(kind, TupleType) and isinstance(value, list | tuple) and len(value) == len(kind.item_types):
        pairs = zip(value, kind.item_types, strict=True)
        return [_conform(inner, item, f"{path}[{n}]", origin) for n, (inner, item) in enumerate(pairs)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecipeError(f"{origin}: {path} must be finite, is {value}")
        if isinstance(kind, IntType | LiteralType) and value.is_integer():
            return int(value)
    return value


def _member(name: Any, value: Any, known: dict[str, Field], path: str, origin: str) -> Any:
    full = f"{path}.{name}" if path else str(name)
    if name not in known:
        raise RecipeError(f"{origin}: {_unknown(full, path, list(known), value)}")
    return _conform(value, known[name].type, full, origin)


def _unknown(full: str, section: str, known: list[str], value: Any) -> str:
    every = list(fields())
    if full in every:
        return f"{full} must be written nested, one section per level, e.g. {{{full.replace('.', ': {', 1)}: …}}}}"
    wanted = full
    while isinstance(value, Mapping) and len(value) == 1:
        [(name, value)] = value.items()
        wanted = f"{wanted}.{name}"
    leaf = wanted.rpartition(".")[2]
    siblings = [f"{section}.{name}" if section else name for name in known]
    near = (
        difflib.get_close_matches(wanted, [*siblings, *every], 1, cutoff=0.8)
        or [name for name in every if name.rpartition(".")[2] == leaf]
        or difflib.get_close_matches(wanted, [*siblings, *every], 1)
    )
    hint = f"; did you mean {near[0]}?" if near else "."
    place = section or "the recipe"
    return f"{wanted} is not a field of the recipe{hint} Fields of {place}: {', '.join(known)}"
