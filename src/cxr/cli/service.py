"""What is done with a bundle: films are classified, and it is served, here or in a cluster."""

from pathlib import Path
from typing import Any

import click
import msgspec

from cxr.cli.options import PATH, step_folders, tracking, with_deployment


@click.command()
@click.option("--bundle", type=PATH, required=True, help="A bundle's folder.")
@click.argument("files", nargs=-1, required=True, type=PATH)
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


@click.command()
@click.option("--run", type=PATH, default=Path("runs/last"), show_default=True, help="Its bundle, without a champion.")
@click.option("--bundle", type=PATH, help="This bundle, whatever the registry says.")
@click.option("--state", type=PATH, default=Path("runs/serving"), show_default=True, help="What the service keeps.")
@click.option("--http-port", type=int, default=8443, show_default=True, help="REST and the page.")
@click.option("--grpc-port", type=int, default=8081, show_default=True, help="V2 over gRPC.")
@click.option("--drift-port", type=int, default=8085, show_default=True, help="The drift sidecar.")
@click.option("--drift-python", type=PATH, default=Path(".venv-drift/bin/python"), show_default=True,
              help="Interpreter of the sidecar's environment; without it predictions go unwatched.")  # fmt: skip
@tracking
@click.option("--model-name", default="cxr", show_default=True)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def serve(options: tuple[str, ...], **given: Any) -> None:
    """Serve the champion bundle on this machine: predictor and drift sidecar, with keys and a certificate.

    OPTIONS after `--` go to the predictor, see `python -m cxr.serving --help`.
    """
    from cxr.serving.local import serve as start

    for line in start(options=options, **given):
        click.echo(line)


@click.command()
@step_folders("bundle", "registration", writes="deployed")
@click.option("--mode", type=click.Choice(["print", "apply", "canary"]), default="print", show_default=True,
              help="Write the chart's values; serve the bundle; serve it a part of the requests.")  # fmt: skip
@with_deployment
def deploy(**given: Any) -> msgspec.Struct:
    """Have the bundle served by the InferenceService of a cluster, and take it back when it is not well."""
    from cxr.steps.deploy import deploy as step

    return step(**given)


@click.command("promote-canary")
@step_folders("deployed", writes="promoted")
@with_deployment
def promote_canary(**given: Any) -> msgspec.Struct:
    """Watch the canary beside the stable predictor; it serves all requests then, or goes."""
    from cxr.steps.promote_canary import promote_canary as step

    return step(**given)


COMMANDS = (predict, serve, deploy, promote_canary)
