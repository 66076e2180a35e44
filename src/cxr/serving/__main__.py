"""`python -m cxr.serving`: one predictor process. Every option is also an environment variable, `CXR_SERVE_…`."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cxr.errors import CxrError
from cxr.serving.logs import configure_logs
from cxr.serving.problems import Problem
from cxr.serving.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_DEFAULTS = Settings(bundle=Path(), state=Path())


def _option(name: str, **given: Any) -> Callable[[F], F]:
    """An option named like a field of `Settings`, with its default."""
    given.setdefault("default", getattr(_DEFAULTS, name))
    given.setdefault("show_default", given["default"] is not None)
    return click.option("--" + name.replace("_", "-"), name, **given)


@click.command(context_settings={"auto_envvar_prefix": "CXR_SERVE", "max_content_width": 110})
@click.option("--bundle", type=_PATH, required=True, help="Folder of the bundle, or a link to it.")
@click.option("--state", type=_PATH, required=True, help="Folder of the audit trail and of the service's own secrets.")
@_option("model_name", help="In the addresses of the V2 protocol.")
@_option("host", help="Address to listen on.")
@_option("http_port", type=int, help="REST and the page; 0 takes a free port.")
@_option("grpc_port", type=int, help="V2 over gRPC; 0 takes a free port.")
@_option("tls_certificate", type=_PATH, help="PEM chain for REST and gRPC.")
@_option("tls_key", type=_PATH, help="Its private key.")
@_option("keys", type=_PATH, help="File of API keys, made by `cxr keys create`.")
@_option("dev", is_flag=True, help="Serve without keys and TLS, on the loopback interface only.")
@_option("behind_proxy", is_flag=True, help="A proxy or service mesh in front encrypts.")
@_option("backend", type=click.Choice(["auto", "openvino", "onnxruntime", "torch"]), help="That runs the graph.")
@_option("threads", type=click.IntRange(min=1), help="Of one forward pass.  [default: all cores]")
@_option("decode_threads", type=click.IntRange(min=1), help="Films decoded at the same time.")
@_option("max_batch", type=click.IntRange(min=1), help="Films of one forward pass.")
@_option("max_wait", type=click.FloatRange(min=0), help="Longest wait for company, seconds.")
@_option("max_queue", type=click.IntRange(min=1), help="Films that may wait for a forward pass.")
@_option("max_bytes", type=click.IntRange(min=1), help="Largest film, bytes.")
@_option("max_pixels", type=click.IntRange(min=1), help="Largest picture decoded.")
@_option("max_pending_bytes", type=click.IntRange(min=1), help="Bodies held in memory at the same time.")
@_option("request_timeout", type=click.FloatRange(min=0.1), help="Of a request with its upload, seconds.")
@_option("drain_delay", type=click.FloatRange(min=0), help="Answers still given after readiness ends, seconds.")
@_option("grace", type=click.FloatRange(min=0), help="Longest that requests may take to end after that, seconds.")
@_option("drift_url", help="Address of the drift sidecar.")
@_option("drift_token_file", type=_PATH, help="Secret that the sidecar asks for.")
@_option("audit_bucket", help="s3://BUCKET/PREFIX with object lock, for sealed segments.")
@_option("audit_retention_days", type=click.IntRange(min=1), help="Of the objects in the bucket.")
@_option("audit_keep_local_days", type=click.IntRange(min=1), help="After which local copies of them go.")
@_option("log_level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), help="Of the JSON log.")
def main(**given: Any) -> None:
    """Serve a bundle over REST and gRPC until SIGTERM; SIGHUP reads the bundle again."""
    settings = Settings(**given)
    configure_logs(settings.log_level)
    try:
        settings.check()
        _start(settings)
    except (CxrError, Problem) as error:
        logging.getLogger("cxr.serving").critical("cannot serve", extra={"reason": str(error)})
        raise click.exceptions.Exit(1) from error


def _start(settings: Settings) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


async def _run(settings: Settings) -> None:
    from prometheus_client import REGISTRY

    from cxr.serving.guard import Guard
    from cxr.serving.metrics import Metrics
    from cxr.serving.opening import open_journal
    from cxr.serving.security.keys import KeyStore
    from cxr.serving.server import serve
    from cxr.serving.service import Service

    keys = None if settings.keys is None else KeyStore.open(settings.keys)
    journal = open_journal(settings)
    REGISTRY.register(journal)
    service = Service(settings=settings, metrics=Metrics(), journal=journal)
    await serve(service, Guard(keys, journal))


if __name__ == "__main__":
    main()
