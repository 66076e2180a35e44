"""The command line: parses and calls steps; nothing else."""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from cxr import __version__
from cxr.contracts.recipe import Recipe
from cxr.errors import CxrError

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


class _Commands(click.Group):
    """Prints what a user can act on as one line, and lets defects keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CxrError as error:
            raise click.ClickException(str(error)) from error


def _step(*reads: str, writes: str) -> Callable[[F], F]:
    """Options for the folders that a step reads and for the one it writes; each is in `--run` unless given."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(run: Path, **given: Any) -> None:
            for name in reads:
                given[name] = given[name] or run / name
            elsewhere = Path(writes) if given.get("bundle") and "bundle" not in reads else run / writes
            given["out"] = given["out"] or elsewhere
            _say(function(**given))

        for name in reversed(reads):
            command = click.option(f"--{name}", type=_PATH, help=f"Folder to read.  [default: RUN/{name}]")(command)
        command = click.option("--out", type=_PATH, help=f"Folder to write.  [default: RUN/{writes}]")(command)
        run = click.option("--run", type=_PATH, default=Path("runs/last"), show_default=True, help="A run's folder.")
        return run(command)  # type: ignore[return-value]

    return decorate


def _recipe(default: str) -> Callable[[F], F]:
    """`--recipe` and `--set`, handed to the function as one typed `recipe`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(recipe: str, overrides: tuple[str, ...], **given: Any) -> Any:
            from cxr.contracts.resolve import resolve_recipe

            return function(recipe=resolve_recipe(recipe, overrides), **given)

        source = click.option("--recipe", default=default, show_default=True, help="Name, file, or YAML text.")
        changes = click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change one field.")
        return source(changes(command))  # type: ignore[return-value]

    return decorate


def _say(value: msgspec.Struct | None) -> None:
    if value is not None:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


_scratch = click.option(
    "--scratch", type=_PATH, default=Path("runs/.scratch"), show_default=True, help="Survives a kill: resume state."
)
_device = click.option("--device", help="cpu, cuda, cuda:1; the first GPU or the CPU by default.")
_weights = click.option("--weights", type=_PATH, help="Initial weights (.pth, .safetensors) instead of ImageNet's.")
_experiment = click.option("--experiment", default="cxr", show_default=True, help="MLflow experiment.")
_tracking = click.option(
    "--tracking-uri", default="sqlite:///runs/mlflow.db", show_default=True, help="MLflow tracking server."
)


@click.group(cls=_Commands, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--quiet", is_flag=True, help="Warnings only.")
def main(quiet: bool) -> None:
    """Chest X-ray classification: every step of the pipeline as a command.

    A step reads and writes folders of the last run unless told otherwise.
    """
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


@main.command()
@_recipe("default")
def recipe(recipe: Recipe) -> None:
    """Print a recipe in full, as YAML, with every change applied."""
    from cxr.contracts.resolve import recipe_yaml

    click.echo(recipe_yaml(recipe), nl=False)


@main.command()
@click.argument("data")
@click.option("--out", type=_PATH, default=Path("studies"), show_default=True, help="Folder to write.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; all cores by default.")
@_recipe("default")
def ingest(data: str, out: Path, workers: int | None, recipe: Recipe) -> None:
    """Read DATA, validate, de-identify, remove duplicates, and write the studies.

    DATA is a folder CLASS/FILES, a CSV or Parquet index, one picture, phantom:N, kaggle:OWNER/SET or s3://BUCKET/PREFIX.
    """
    from cxr.steps.ingest import ingest as step

    _say(step(data=data, out=out, recipe=recipe, workers=workers))
    rejected = (out / "rejected.csv").read_text(encoding="utf-8")
    if rejected.count("\n") > 1:
        click.echo(rejected, err=True, nl=False)


@main.command()
@_step("studies", writes="split")
@_recipe("default")
def split(**given: Any) -> msgspec.Struct:
    """Split the studies by patient, stratified by class and source."""
    from cxr.steps.split import split as step

    return step(**given)


@main.command()
@_step("studies", "split", writes="search")
@_recipe("default")
@_scratch
@_weights
@_tracking
@_experiment
@_device
def tune(**given: Any) -> msgspec.Struct:
    """Search the recipe's search space on one machine."""
    from cxr.steps.tune import tune as step

    return step(**given)


@main.command()
@_step("studies", "split", writes="checkpoint")
@_recipe("runs/last/search/recipe.json")
@_scratch
@_weights
@_device
def train(**given: Any) -> msgspec.Struct:
    """Train the recipe's network; run again after a kill to go on."""
    from cxr.steps.train import train as step

    return step(**given)


@main.command()
@_step("studies", "split", "checkpoint", writes="evaluation")
@click.option("--bundle", type=_PATH, help="Evaluate this bundle on --data instead of the run's checkpoint.")
@click.option("--data", help="With --bundle: any source of films; all of them are test films.  [writes: ./evaluation]")
def evaluate(bundle: Path | None, data: str | None, **given: Path) -> msgspec.Struct:
    """Evaluate the checkpoint on its test split, or a bundle on new data."""
    if (bundle is None) != (data is None):
        raise click.UsageError("--bundle and --data go together: a bundle, and the films to evaluate it on")
    from cxr.steps.evaluate import evaluate as step
    from cxr.steps.evaluate import evaluate_bundle

    if bundle is not None and data is not None:
        return evaluate_bundle(bundle=bundle, data=data, out=given["out"])
    return step(**given)


@main.command()
@_step("studies", "split", "checkpoint", "evaluation", writes="robustness")
def robustness(**given: Path) -> msgspec.Struct:
    """Measure accuracy and AUROC under graded corruptions of the test films."""
    from cxr.steps.robustness import robustness as step

    return step(**given)


@main.command()
@_step("studies", "split", "checkpoint", "evaluation", writes="explanation")
def explain(**given: Path) -> msgspec.Struct:
    """Draw activation maps and score them against lesion masks."""
    from cxr.steps.explain import explain as step

    return step(**given)


@main.command("fit-drift")
@_step("studies", "split", "checkpoint", writes="drift")
def fit_drift(**given: Path) -> msgspec.Struct:
    """Fit the reference that live films are compared with."""
    from cxr.steps.fit_drift import fit_drift as step

    return step(**given)


@main.command("fit-gate")
@_step("studies", "split", "checkpoint", writes="gate")
def fit_gate(**given: Path) -> msgspec.Struct:
    """Fit the gate that refuses what is no upright frontal chest film."""
    from cxr.steps.fit_gate import fit_gate as step

    return step(**given)


@main.command()
@_step("studies", "split", "checkpoint", "evaluation", "robustness", "explanation", "drift", "gate", writes="bundle")
def package(**given: Path) -> msgspec.Struct:
    """Export the network and pack the bundle that is served."""
    from cxr.steps.package import package as step

    return step(**given)


@main.command()
@_step("bundle", "evaluation", "search", writes="registration")
@_tracking
@click.option("--model-name", default="cxr", show_default=True)
@_experiment
def register(**given: Any) -> msgspec.Struct:
    """Register the bundle as challenger and put it through the promotion gate."""
    from cxr.steps.register import register as step

    return step(**given)


@main.command()
@_step("registration", writes="promotion")
@_tracking
def promote(**given: Any) -> msgspec.Struct:
    """Make the registered bundle champion, if its gate says so."""
    from cxr.steps.register import promote as step

    return step(**given)


@main.command()
@_step("studies", "split", "search", "checkpoint", "evaluation", "robustness", "explanation", "bundle", "registration",
       writes="report")  # fmt: skip
def report(**given: Path) -> None:
    """Write report.html and TECHNICAL_REPORT.md from what the steps wrote."""
    from cxr.steps.report import report as step

    step(**given)


@main.command()
@click.option("--bundle", type=_PATH, required=True, help="A bundle's folder.")
@click.argument("files", nargs=-1, required=True, type=_PATH)
def predict(bundle: Path, files: tuple[Path, ...]) -> None:
    """Classify films; one JSON line each, an error where a file is refused.

    Exits with 1 when every file was refused.
    """
    from cxr.contracts.prediction import FilmPrediction
    from cxr.steps.predict import predict as step

    accepted = 0
    for answer in step(bundle=bundle, files=files):
        click.echo(msgspec.json.encode(answer).decode())
        accepted += isinstance(answer, FilmPrediction)
    if not accepted:
        raise click.exceptions.Exit(1)


@main.command()
@click.option("--run", type=_PATH, default=Path("runs/last"), show_default=True, help="Its bundle, without a champion.")
@click.option("--bundle", type=_PATH, help="This bundle, whatever the registry says.")
@click.option("--state", type=_PATH, default=Path("runs/serving"), show_default=True, help="What the service keeps.")
@click.option("--http-port", type=int, default=8443, show_default=True, help="REST and the page.")
@click.option("--grpc-port", type=int, default=8081, show_default=True, help="V2 over gRPC.")
@click.option("--drift-port", type=int, default=8085, show_default=True, help="The drift sidecar.")
@click.option("--drift-python", type=_PATH, default=Path(".venv-drift/bin/python"), show_default=True,
              help="Interpreter of the sidecar's environment; without it predictions go unwatched.")  # fmt: skip
@_tracking
@click.option("--model-name", default="cxr", show_default=True)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def serve(options: tuple[str, ...], **given: Any) -> None:
    """Serve the champion bundle on this machine: predictor and drift sidecar, with keys and a certificate.

    OPTIONS after `--` go to the predictor, see `python -m cxr.serving --help`.
    """
    from cxr.serving.local import serve as start

    for line in start(options=options, **given):
        click.echo(line)


class _Late(click.Group):
    """A group whose commands are imported when one of them is asked for."""

    def __init__(self, module: str, **given: Any) -> None:
        super().__init__(**given)
        self._module = module

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group().list_commands(ctx)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self._group().get_command(ctx, name)

    def _group(self) -> click.Group:
        import importlib

        group: click.Group = getattr(importlib.import_module(self._module), str(self.name))
        return group


main.add_command(_Late("cxr.serving.security.commands", name="keys", help="API keys of the service."))
main.add_command(_Late("cxr.serving.audit.commands", name="audit", help="The service's audit trail."))


if __name__ == "__main__":
    main()
