"""Options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


def step_folders(*reads: str, writes: str) -> Callable[[F], F]:
    """Options for the folders that a step reads and for the one it writes; each is in `--run` unless given.

    So is the recipe of a step whose `with_recipe` has no default: what the run's search found.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(run: Path, **given: Any) -> None:
            for name in reads:
                given[name] = given[name] or run / name
            elsewhere = Path(writes) if given.get("bundle") and "bundle" not in reads else run / writes
            given["out"] = given["out"] or elsewhere
            may_be_written(given["out"], writes, *(given[name] for name in (*reads, "data") if given.get(name)))
            if given.get("recipe", "") is None:
                given["recipe"] = str(run / "search" / "recipe.json")
            say(function(**given))

        for name in reversed(reads):
            command = click.option(f"--{name}", type=PATH, help=f"Folder to read.  [default: RUN/{name}]")(command)
        command = click.option("--out", type=PATH, help=f"Folder to write.  [default: RUN/{writes}]")(command)
        run = click.option("--run", type=PATH, default=Path("runs/last"), show_default=True, help="A run's folder.")
        return run(command)  # type: ignore[return-value]

    return decorate


def may_be_written(out: Path, name: str, *reads: str | Path) -> None:
    """Raise `ContractError` unless `out` may become the folder `name` of a run, made of what is read."""
    from cxr.contracts.files import check_replaceable
    from cxr.contracts.run_folders import MARKS

    check_replaceable(out, MARKS[name], reads=map(Path, reads))


def with_recipe(default: str | None) -> Callable[[F], F]:
    """`--recipe` and `--set`, handed to the function as one typed `recipe`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(recipe: str, overrides: tuple[str, ...], **given: Any) -> Any:
            from cxr.contracts.resolve import resolve_recipe

            return function(recipe=resolve_recipe(recipe, overrides), **given)

        words = "Name, file, or YAML text." + ("" if default else "  [default: RUN/search/recipe.json]")
        source = click.option("--recipe", default=default, show_default=True, help=words)
        changes = click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change one field.")
        return source(changes(command))  # type: ignore[return-value]

    return decorate


def with_cluster(function: F) -> F:
    """`--cluster`, handed to the function as one typed `cluster`."""

    @functools.wraps(function)
    def command(cluster: str, **given: Any) -> Any:
        from cxr.contracts.cluster import resolve_cluster

        return function(cluster=resolve_cluster(cluster), **given)

    option = click.option(
        "--cluster", default="", metavar="FILE|TEXT", help="Where pods run: a YAML or JSON file, or its text."
    )
    return option(command)  # type: ignore[return-value]


def with_deployment(function: F) -> F:
    """`--deployment`, handed to the function as one typed `deployment`."""

    @functools.wraps(function)
    def command(deployment: str, **given: Any) -> Any:
        from cxr.contracts.deployment import resolve_deployment

        return function(deployment=resolve_deployment(deployment), **given)

    option = click.option(
        "--deployment",
        default="",
        metavar="FILE|TEXT",
        help="What serves, where: a YAML or JSON file, or its text.",
    )
    return option(command)  # type: ignore[return-value]


def say(value: msgspec.Struct | None) -> None:
    """Print a step's result as JSON."""
    if value is not None:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


scratch = click.option(
    "--scratch", type=PATH, default=Path("runs/.scratch"), show_default=True, help="Survives a kill: resume state."
)
device = click.option("--device", help="cpu, cuda, cuda:1; the first GPU or the CPU by default.")
weights = click.option("--weights", type=PATH, help="Initial weights (.pth, .safetensors) instead of ImageNet's.")
experiment = click.option("--experiment", default="cxr", show_default=True, help="MLflow experiment.")
tracking = click.option(
    "--tracking-uri", default="sqlite:///runs/mlflow.db", show_default=True, help="MLflow tracking server."
)
