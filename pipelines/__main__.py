"""`python -m pipelines compile|run|submit`: parses, and calls the modules beside it."""

import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from components.image import IMAGE
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import recipe_text, resolve_recipe
from cxr.errors import CxrError

F = TypeVar("F", bound=Callable[..., Any])

COMPILED = Path(__file__).parent / "training.yaml"


class _Commands(click.Group):
    """Prints what a user can act on as one line, the last one, and lets defects keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CxrError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Commands, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """The training pipeline: compile it, run it here, or submit it to a cluster."""


def _arguments(function: F) -> F:
    """Options that are arguments of the pipeline, here and on a cluster."""
    options = (
        click.option("--data", required=True, help="Folder, index, phantom[:N], kaggle:OWNER/SET, s3://BUCKET/PREFIX."),
        click.option("--data-version", default="", help="Text that changes when the films behind --data do."),
        click.option("--recipe", default="default", show_default=True, help="Name, file, or YAML text."),
        click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change one field of it."),
        click.option("--weights", default="", help="File of initial weights instead of those that the recipe names."),
        click.option("--experiment", default="cxr", show_default=True, help="MLflow experiment."),
        click.option("--model-name", default="cxr", show_default=True, help="Registered model."),
        click.option("--no-cache", is_flag=True, help="Execute every step, even where nothing changed."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@main.command("compile")
@click.option("--out", type=click.Path(path_type=Path), default=COMPILED, show_default="beside the source")
@click.option("--image", default=IMAGE, show_default=True, help="Image that the tasks run in.")
def compile_(out: Path, image: str) -> None:
    """Compile the pipeline to the YAML that Kubeflow runs."""
    from pipelines.spec import compile_text
    from pipelines.training import training

    out.write_text(compile_text(training, image=image), encoding="utf-8")
    click.echo(out)


@main.command()
@_arguments
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder of this run.  [default: runs/<UTC time>]")
@click.option("--tracking-uri", help="MLflow server.  [default: mlflow.db beside the run's folder]")
@click.option("--promote/--no-promote", default=True, show_default=True, help="Champion, if the gate lets it pass.")
def run(run_dir: Path | None, recipe: str, overrides: tuple[str, ...], no_cache: bool, **arguments: Any) -> None:
    """Run the pipeline on this machine; a run that failed or was killed goes on where it was."""
    from pipelines.training_run import run_training

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chosen = run_dir or Path("runs") / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    click.echo(run_training(chosen, resolve_recipe(recipe, overrides), cached=not no_cache, **arguments))


@main.command()
@_arguments
@click.option("--host", required=True, help="Address of the Kubeflow Pipelines API.")
@click.option("--token", envvar="KFP_TOKEN", show_envvar=True, help="Bearer token; better not on the command line.")
@click.option("--namespace", help="Yours, where Kubeflow has several users.")
@click.option("--certificate", type=click.Path(exists=True, path_type=Path), help="Certificate authorities to trust.")
@click.option("--image", default=IMAGE, show_default=True, help="Image that the tasks run in.")
@click.option("--run-name", help="[default: training <UTC time>]")
@click.option("--kubeflow-experiment", default="cxr", show_default=True)
@click.option("--service-account", help="That the tasks run as.")
@click.option("--pipeline-root", help="Address where artifacts are kept.")
@click.option("--scratch-claim", default="cxr-scratch", show_default=True, help="Volume claim that outlives tasks.")
@click.option("--tracking-uri", help="MLflow server, as seen from the cluster.")
@click.option("--promote/--no-promote", default=False, show_default=True, help="Champion, if the gate lets it pass.")
def submit(**options: Any) -> None:
    """Start the pipeline on a cluster and print the address of the run."""
    from pipelines.spec import compile_text
    from pipelines.submit import Endpoint, Submission
    from pipelines.submit import submit as send
    from pipelines.training import training

    endpoint = Endpoint(**{name: options.pop(name) for name in ("host", "token", "namespace", "certificate")})
    recipe: Recipe = resolve_recipe(options.pop("recipe"), options.pop("overrides"))
    submission = Submission(
        package=compile_text(training, image=options.pop("image")),
        name=options.pop("run_name") or f"training {datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        experiment=options.pop("kubeflow_experiment"),
        service_account=options.pop("service_account"),
        pipeline_root=options.pop("pipeline_root"),
        cached=not options.pop("no_cache"),
        arguments={
            "recipe": recipe_text(recipe),
            **{name: value for name, value in options.items() if value is not None},
        },
    )
    click.echo(send(endpoint, submission))


if __name__ == "__main__":
    main()
