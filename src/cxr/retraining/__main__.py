"""`python -m cxr.retraining`: run the retraining trigger."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from cxr.adapters.kubeflow_runs import Endpoint
from cxr.errors import CxrError, PipelineError, ServingError
from cxr.logs import log_as_json
from cxr.retraining.settings import Settings, read_arguments
from cxr.retraining.trigger import Trigger

_PATH = click.Path(path_type=Path)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

logger = logging.getLogger(__name__)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8091, show_default=True)
@click.option("--secret-file", type=_PATH, help="Secret that alerts are signed with; needed unless host is loopback.")
@click.option("--kubeflow", required=True, help="Address of the Kubeflow Pipelines API.")
@click.option("--kubeflow-token-file", type=_PATH, help="Bearer token for it.")
@click.option("--kubeflow-namespace", help="Ours, where Kubeflow has several users.")
@click.option("--kubeflow-certificate", type=_PATH, help="Certificate authorities to trust.")
@click.option("--pipeline", default="retraining", show_default=True, help="Name that it was uploaded under.")
@click.option("--pipeline-version", help="[default: the newest]")
@click.option("--arguments", type=_PATH, required=True, help="YAML file of the pipeline's arguments.")
@click.option("--experiment", default="cxr", show_default=True, help="Kubeflow's, where retraining runs are.")
@click.option("--service-account", help="That tasks run as.")
@click.option("--cool-down-days", type=click.FloatRange(min=0), default=7.0, show_default=True)
def main(host: str, port: int, arguments: Path, cool_down_days: float, **options: Any) -> None:
    """Receive the drift sidecars' alerts and have Kubeflow train a model anew."""
    log_as_json("INFO")
    try:
        if options["secret_file"] is None and host not in _LOOPBACK:
            raise ServingError(f"--secret-file must be given when others can connect, as they can to {host}")
        settings = Settings(
            endpoint=Endpoint(
                host=options["kubeflow"],
                token_file=options["kubeflow_token_file"],
                namespace=options["kubeflow_namespace"],
                certificate=options["kubeflow_certificate"],
            ),
            secret_file=options["secret_file"],
            arguments=read_arguments(arguments),
            pipeline=options["pipeline"],
            version=options["pipeline_version"],
            experiment=options["experiment"],
            service_account=options["service_account"],
            cool_down=timedelta(days=cool_down_days),
        )
        settings.secret()
        _serve(settings, host=host, port=port)
    except CxrError as error:
        raise click.ClickException(str(error)) from error


def _serve(settings: Settings, *, host: str, port: int) -> None:
    import uvicorn

    from cxr.retraining.app import make_app

    trigger = Trigger(settings)
    try:
        trigger.check()
    except PipelineError as error:  # it may come yet; until then alerts are told to come again
        logger.warning("no run could be started now", extra={"reason": str(error)})
    app = make_app(settings, trigger)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main(prog_name="python -m cxr.retraining")
