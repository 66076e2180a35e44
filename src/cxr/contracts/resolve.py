"""From a name, a file or a text, and dotted overrides, to a checked recipe."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec

from cxr.contracts.overlay import nested, overlay
from cxr.contracts.recipe import Recipe
from cxr.contracts.search_rules import check_search
from cxr.contracts.written import SUFFIXES, did_you_mean, is_file, parse, read_source
from cxr.contracts.yaml12 import dump_yaml
from cxr.errors import RecipeError


def resolve_recipe(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides; what neither states keeps the default of `Recipe`.

    JSON needs nothing but msgspec; YAML (version 1.2: 1e-4 is a number, `no` is a word) needs PyYAML.

    Args:
        source: name of a recipe shipped with cxr (`recipe_names`), path of a .yaml, .yml or .json file, or YAML or JSON
            text (anything with a line break, a brace or a colon that is no such path).
        overrides: "section.field=value", the value as YAML: "loss.gamma=1.5", "evaluation.severities=[1, 3]".

    Raises:
        RecipeError: the source cannot be read, a name is unknown, a value breaks its type or bounds, or the search
            space does not fit the recipe.
    """
    text, origin = _read(source)
    recipe = overlay(Recipe(), _mapping(text, origin), origin=origin)
    for override in overrides:
        name, sign, value = override.partition("=")
        if not sign or not name.strip():
            raise RecipeError(f"an override must be FIELD=VALUE, e.g. loss.gamma=1.5; is {override!r}")
        changes = nested(name.strip(), _value(value, override))
        recipe = overlay(recipe, changes, origin=f"override {override}")
    check_recipe(recipe)
    return recipe


def check_recipe(recipe: Recipe) -> None:
    """Check what no single field can: raises `RecipeError` when fields contradict each other."""
    split = recipe.split
    if split.train + split.validation >= 1:
        raise RecipeError(
            f"split.train + split.validation must be under 1 to leave test films, is {split.train:g} + "
            f"{split.validation:g}; lower one of them"
        )
    if recipe.evaluation.unseen_share and not recipe.schedule.refit_head:
        raise RecipeError(
            "evaluation.unseen_share needs schedule.refit_head=true, is "
            f"{recipe.evaluation.unseen_share:g} without it; set it to 0, or let the head be fitted again"
        )
    check_search(recipe)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes shipped with cxr."""
    files = resources.files("cxr.recipes").iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


def recipe_text(recipe: Recipe) -> str:
    """The whole recipe as one line of JSON; `resolve_recipe` reads it back."""
    return msgspec.json.encode(recipe).decode()


def recipe_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML; `resolve_recipe` reads it back."""
    return dump_yaml(msgspec.to_builtins(recipe))


def _read(source: str) -> tuple[str, str]:
    """Text of a source, and what to call it in errors."""
    if is_file(source) or any(sign in source for sign in "\n{:"):
        return read_source(source, name="recipe", error=RecipeError)
    if source not in recipe_names():
        raise RecipeError(
            f"a recipe must be a name ({', '.join(recipe_names())}), a file ending in {', '.join(SUFFIXES)}, or text; "
            f"is {source!r}{did_you_mean(source, recipe_names())}"
        )
    return resources.files("cxr.recipes").joinpath(f"{source}.yaml").read_text(encoding="utf-8"), f"recipe {source}"


def _mapping(text: str, origin: str) -> dict[str, Any]:
    value = parse(text, origin, RecipeError)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecipeError(f"{origin} must hold sections such as 'loss: {{gamma: 2}}', holds {str(value)[:80]!r}")
    return value


def _value(text: str, override: str) -> Any:
    """An override's value; a plain word needs no YAML, so that a bare training machine can name an architecture."""
    word = text.strip()
    if word.isidentifier() and word.lower() not in ("true", "false", "null"):
        return word
    return parse(text, f"override {override}", RecipeError)
