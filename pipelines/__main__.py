"""`python -m pipelines compile|run|submit|upload|schedule`: parses, and calls the modules beside it."""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cxr.adapters.kubeflow_pipelines import connect
from cxr.contracts.resolve import resolve_recipe
from cxr.errors import CxrError
from pipelines import options as shared

COMPILED = Path(__file__).parent


class _Commands(click.Group):
    """Prints what a user can act on as one line, the last one, and lets defects keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CxrError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Commands, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """The pipelines: compile them, run them here, or hand them to a cluster."""


@main.command("compile")
@shared.image
@click.option("--out", type=click.Path(path_type=Path), default=COMPILED, show_default="beside the source")
def compile_(out: Path, **options: Any) -> None:
    """Compile the pipelines to the YAML that Kubeflow runs, in a folder."""
    from pipelines.spec import compile_text

    image = shared.take_image(options)
    compiled = {name: compile_text(shared.load_pipeline(name), **image) for name in shared.PIPELINES}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in compiled.items():
        (out / f"{name}.yaml").write_text(text, encoding="utf-8")
        click.echo(out / f"{name}.yaml")


@main.command()
@shared.pipeline
@shared.arguments
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder of this run.  [default: runs/<UTC time>]")
@click.option("--tracking-uri", help="MLflow server.  [default: mlflow.db beside the run's folder]")
def run(
    pipeline: str, run_dir: Path | None, recipe: str, overrides: tuple[str, ...], no_cache: bool, **arguments: Any
) -> None:
    """Run a pipeline on this machine; a run that failed or was killed goes on where it was.

    The model becomes champion, if the gate lets it pass, unless --no-promote is given.
    """
    from pipelines.training_run import run_training

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chosen = run_dir or Path("runs") / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    arguments["promote"] = arguments["promote"] is not False
    arguments["deployment"] = shared.deployment_text(arguments["deployment"], arguments["tracking_uri"])
    click.echo(
        run_training(
            chosen,
            resolve_recipe(recipe, overrides),
            pipeline=shared.load_pipeline(pipeline),
            cached=not no_cache,
            **arguments,
        )
    )


@main.command()
@shared.pipeline
@shared.arguments
@shared.placed
@shared.image
@shared.endpoint
@shared.run
@click.option("--run-name", help="[default: the pipeline and the UTC time]")
def submit(pipeline: str, run_name: str | None, **options: Any) -> None:
    """Start a pipeline on a cluster and print the address of the run."""
    endpoint = shared.take_endpoint(options)
    name = run_name or f"{pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    submission = shared.take_submission(options, pipeline=pipeline, name=name)
    with connect(endpoint) as kubeflow:
        run_id = kubeflow.submit(submission)
    click.echo(f"{endpoint.address}/#/runs/details/{run_id}")


@main.command()
@click.option("--pipeline", "pipelines", type=click.Choice(shared.PIPELINES), multiple=True, help="[default: all]")
@click.option("--version-name", help="[default: the image's tag]")
@shared.cluster
@shared.image
@shared.endpoint
def upload(pipelines: tuple[str, ...], version_name: str | None, **options: Any) -> None:
    """Upload pipelines to a cluster as a version, for its form and for `cxr.retraining`.

    Runs that they start have this image, and --cluster, for the pods of Katib and of a TrainJob too.
    """
    from pipelines.spec import compile_text

    endpoint, version = shared.take_endpoint(options), version_name or options["tag"]
    image = shared.take_image(options)
    defaults = {"cluster": shared.cluster_text(options["cluster"], image["image"])}
    for name in pipelines or shared.PIPELINES:
        package = compile_text(shared.load_pipeline(name), **image, defaults=defaults)
        with connect(endpoint) as kubeflow:
            found = kubeflow.upload(package, pipeline=name, version=version)
        click.echo(f"{endpoint.address}/#/pipelines/details/{found.pipeline_id}/version/{found.version_id}")


@main.command()
@click.option("--cron", default="0 0 3 1 * *", show_default=True, help="Second, minute, hour, day, month, weekday.")
@click.option("--name", default="cxr monthly retraining", show_default=True, help="Of the recurring run.")
@shared.arguments
@shared.placed
@shared.image
@shared.endpoint
@shared.run
def schedule(cron: str, name: str, **options: Any) -> None:
    """Have a cluster retrain again and again; the same name again takes the place of what was scheduled."""
    shared.check_cron(cron)
    endpoint = shared.take_endpoint(options)
    submission = shared.take_submission(options, pipeline="retraining", name=name)
    with connect(endpoint) as kubeflow:
        recurring = kubeflow.schedule(submission, cron=cron)
    click.echo(f"{endpoint.address}/#/recurringrun/details/{recurring}")


if __name__ == "__main__":
    main()
