"""`python -m cxr.sidecar`: run the sidecar, or measure how often its tests alarm."""

from pathlib import Path

import click

from cxr.contracts.files import write_json
from cxr.drift.detector import LEVEL
from cxr.drift.measure import WINDOWS, measure
from cxr.errors import CxrError, ServingError
from cxr.logs import log_as_json
from cxr.sidecar.settings import Settings
from cxr.sidecar.watch import MEASUREMENT_FILE, WatchedBundle

_PATH = click.Path(path_type=Path)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.group(invoke_without_command=True)
@click.option("--bundle", type=_PATH, help="Folder of the bundle, or a link to one; followed when it changes.")
@click.option("--state", type=_PATH, help="Folder to keep windows and alerts in.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, show_default=True)
@click.option("--token-file", type=_PATH, help="Secret that events must bring; needed unless the host is loopback.")
@click.option("--webhook", envvar="CXR_DRIFT_WEBHOOK", help="Address to post alerts to.")
@click.option("--webhook-secret-file", type=_PATH, help="Secret that signs alerts.")
@click.option("--level", default=LEVEL, show_default=True, help="Probability of an alarm without drift.")
@click.pass_context
def main(
    context: click.Context,
    bundle: Path | None,
    state: Path | None,
    host: str,
    port: int,
    token_file: Path | None,
    webhook: str | None,
    webhook_secret_file: Path | None,
    level: float,
) -> None:
    """Watch the films of a predictor for drift."""
    if context.invoked_subcommand is not None:
        return
    if bundle is None or state is None:
        raise click.UsageError("--bundle and --state are needed to run the sidecar")
    log_as_json("INFO")
    try:
        if token_file is None and host not in _LOOPBACK:
            raise ServingError(f"--token-file must be given when others can connect, as they can to {host}")
        settings = Settings(
            bundle=bundle,
            state=state,
            token=_secret(token_file),
            level=level,
            webhook=webhook,
            webhook_secret=_secret(webhook_secret_file),
        )
        _serve(settings, host=host, port=port)
    except CxrError as error:
        raise click.ClickException(str(error)) from error


@main.command("measure")
@click.option("--bundle", type=_PATH, required=True, help="Folder of the bundle.")
@click.option("--state", type=_PATH, help="State folder of the sidecar, whose page then shows the table.")
@click.option("--out", type=_PATH, help="JSON file to write.")
@click.option("--windows", default=WINDOWS, show_default=True, help="Windows per condition and size.")
@click.option("--level", default=LEVEL, show_default=True, help="Probability of an alarm without drift.")
def measure_command(bundle: Path, state: Path | None, out: Path | None, windows: int, level: float) -> None:
    """Measure how often windows alarm, without drift and with it."""
    try:
        watched = WatchedBundle(bundle, level=level)
    except CxrError as error:
        raise click.ClickException(str(error)) from error
    found = measure(watched.detector, watched.rehearsal, bundle=watched.digest, windows=windows)
    if state is not None:
        write_json(state / watched.digest[:16] / MEASUREMENT_FILE, found)
    if out is not None:
        write_json(out, found)
    if found.reason is not None:
        click.echo(f"not measured: {found.reason}")
    for rate in found.rates:
        share = rate.alarms / rate.windows
        click.echo(
            f"{rate.condition:10} {rate.window:4} films  {rate.alarms:4} / {rate.windows} windows alarm  "
            f"{share:6.1%}  ({rate.low:.1%} – {rate.high:.1%})"
        )


def _serve(settings: Settings, *, host: str, port: int) -> None:
    import uvicorn

    from cxr.sidecar.app import make_app
    from cxr.sidecar.service import DriftService

    app = make_app(settings, DriftService(settings))
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False)


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text().strip()
    except OSError as error:
        raise ServingError(f"{path} must be a readable file: {error.strerror}") from error
    if not secret:
        raise ServingError(f"{path} must hold a secret, is empty")
    return secret


if __name__ == "__main__":
    main(prog_name="python -m cxr.sidecar")
