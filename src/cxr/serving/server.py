"""KServe's REST server around our application, and the order in which a process starts and ends."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer, _RefreshingServer
from starlette.types import ASGIApp

from cxr.serving.guard import Guard
from cxr.serving.http.app import protected
from cxr.serving.http.errors import add_problems
from cxr.serving.http.routes import add_routes
from cxr.serving.model import CxrModel
from cxr.serving.problems import Problem
from cxr.serving.rpc import GrpcServer
from cxr.serving.security.tls import server_context
from cxr.serving.service import Service
from cxr.serving.settings import Settings

logger = logging.getLogger(__name__)

_KEEP_ALIVE = 65
_BACKLOG = 2048


class Repository(ModelRepository):  # type: ignore[misc]  # KServe is untyped
    """One model, which nothing unloads; both transports read it again themselves."""

    def unload(self, name: str) -> None:
        """Refused: a predictor without its model answers nobody.

        Raises:
            Problem: always.
        """
        raise Problem("not_served", 405, "the model of this predictor is not unloaded", "Stop the predictor instead.")


class _Uvicorn(_RefreshingServer):  # type: ignore[misc]  # KServe is untyped
    """Leaves signals to the process: readiness must end before the listening does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RestServer(RESTServer):  # type: ignore[misc]  # KServe is untyped
    """KServe's REST server with our routes before its own, and our guards around both."""

    def __init__(
        self, app: FastAPI, guarded: ASGIApp, plane: DataPlane, repository: Repository, settings: Settings
    ) -> None:
        self._application = app
        certificate, key = settings.tls_certificate, settings.tls_key
        super().__init__(
            guarded,
            plane,
            ModelRepositoryExtension(repository),
            settings.http_port,
            grace_period=round(settings.grace),
            timeout_keep_alive=_KEEP_ALIVE,
            ssl_certfile=None,
            ssl_keyfile=None,
        )
        if certificate is not None and key is not None:
            # KServe's own refresher spoils the live context while a renewed pair is half in place
            self.config.ssl_context_factory = lambda _config, _default: server_context(certificate, key)
        self.config.host = settings.host
        self.config.backlog = _BACKLOG
        self.config.access_log = False
        self.config.server_header = False
        self.config.date_header = True
        self._server = _Uvicorn(self.config)

    @property
    def uvicorn(self) -> uvicorn.Server:
        """The server below."""
        server: uvicorn.Server = self._server
        return server

    def create_application(self) -> None:
        """KServe's part of the application: how it answers its own errors.

        Its endpoints of V2 are among our routes; V1 is not served, and its timing middleware, which logs addresses, is
        left out.
        """
        self._add_exception_handlers(self._application)
        add_problems(self._application)


async def serve(service: Service, guard: Guard) -> None:
    """Load the bundle, listen, and end in order on SIGTERM or SIGINT; SIGHUP reads the bundle again.

    Raises:
        BundleError, ContractError: the bundle cannot be served; nothing listens then.
    """
    settings, ending = service.settings, asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(_reload(service)))
    await service.journal.started()
    await service.load()
    repository = Repository()
    model = CxrModel(service)
    model.ready = True
    repository.update(model)
    plane = DataPlane(model_registry=repository)
    app = add_routes(service, plane)
    rest = RestServer(app, protected(app, service, guard), plane, repository, settings)
    grpc = GrpcServer(service, plane, ModelRepositoryExtension(repository), guard)
    await grpc.start()
    listening = asyncio.create_task(rest.start())
    await _started(rest, listening)
    service.metrics.ready.set(1)
    logger.info("ready", extra={"addresses": addresses(rest, grpc, settings)})
    await asyncio.wait({asyncio.create_task(ending.wait()), listening}, return_when=asyncio.FIRST_COMPLETED)
    await _end(service, rest, grpc, listening)


def addresses(rest: RestServer, grpc: GrpcServer, settings: Settings) -> dict[str, str]:
    """Where the process listens."""
    tls = settings.tls_certificate is not None
    port = rest.uvicorn.servers[0].sockets[0].getsockname()[1]
    scheme = "https" if tls else "http"
    return {"rest": f"{scheme}://{settings.host}:{port}", "grpc": f"{settings.host}:{grpc.port}"}


async def _started(rest: RestServer, listening: "asyncio.Task[None]") -> None:
    while not rest.uvicorn.started:
        if listening.done():
            listening.result()
            raise SystemExit(1)
        await asyncio.sleep(0.01)


async def _end(service: Service, rest: RestServer, grpc: GrpcServer, listening: "asyncio.Task[None]") -> None:
    service.draining = True
    service.metrics.ready.set(0)
    logger.info("draining")
    await asyncio.sleep(service.settings.drain_delay)
    rest.uvicorn.should_exit = True
    await asyncio.gather(listening, grpc.stop(service.settings.grace))
    await service.close()
    logger.info("ended")


async def _reload(service: Service) -> None:
    with contextlib.suppress(Problem):  # it is in the log
        await service.reload()
