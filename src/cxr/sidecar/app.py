"""The sidecar's HTTP interface."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cxr.adapters.request_body import read_body
from cxr.contracts.events import decode_events
from cxr.errors import ContractError
from cxr.sidecar.metrics import DriftMetrics
from cxr.sidecar.page import render_page
from cxr.sidecar.service import DriftService
from cxr.sidecar.settings import Settings

logger = logging.getLogger(__name__)

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def make_app(settings: Settings, service: DriftService) -> Starlette:
    """The application of a service; its life is that of the application.

    Events need the token. Reports and metrics do not: they hold distributions and no film.
    """
    endpoints = _Endpoints(settings, service)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    routes = [
        Route("/events", endpoints.events, methods=["POST"]),
        Route("/drift_report", endpoints.report),
        Route("/drift_report.html", endpoints.page),
        Route("/metrics", endpoints.metrics),
        Route("/health/live", endpoints.live),
        Route("/health/ready", endpoints.ready),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class _Endpoints:
    def __init__(self, settings: Settings, service: DriftService) -> None:
        self._settings, self._service = settings, service
        self._working = 0
        self._registry = CollectorRegistry()
        self._registry.register(DriftMetrics(service))

    async def events(self, request: Request) -> Response:
        """Take events: 202, 400 when any is malformed, 409 when all are of another bundle; the others count."""
        if not self._known(request):
            return _problem(401, "events need the token that predictor and sidecar share")
        if self._working >= self._settings.most_requests:
            return _problem(503, "too many requests are being worked on", {"Retry-After": "1"})
        self._working += 1
        try:
            return await self._take(request)
        finally:
            self._working -= 1

    async def report(self, request: Request) -> Response:
        """The report, as a page for those who ask for one."""
        if "text/html" in request.headers.get("accept", ""):
            return await self.page(request)
        body = msgspec.json.encode(self._service.report())
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def page(self, _: Request) -> Response:
        """The report as a page."""
        findings, statistics = self._service.names
        reference, window = self._service.compared()
        text = await asyncio.to_thread(
            render_page, self._service.report(), reference, window, findings=findings, statistics=statistics
        )
        return HTMLResponse(text, headers=_PAGE_HEADERS)

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(self, _: Request) -> Response:
        """503 once only a new process can follow the bundle and deliver alerts."""
        if not self._service.alive:
            return _problem(503, "a task of the sidecar has ended; its log says why")
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Events are taken, also while it is not live: the pod's readiness is the predictor's too."""
        return JSONResponse({"status": "ok"})

    def _known(self, request: Request) -> bool:
        token = self._settings.token
        given = request.headers.get("authorization", "")
        return token is None or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    async def _take(self, request: Request) -> Response:
        try:
            body = await read_body(request, most=self._settings.most_bytes)
        except ClientDisconnect:
            return _problem(400, "the connection ended before the body did")
        if body is None:
            return _problem(413, f"a request must be at most {self._settings.most_bytes} bytes")
        try:
            received = await asyncio.to_thread(decode_events, request.headers, body)
        except ContractError as error:
            return _problem(400, str(error))
        try:
            outcomes = await self._service.take(received)
        except OSError as error:
            logger.error("the window cannot be written", extra={"reason": type(error).__name__})
            return _problem(503, "the window cannot be written", {"Retry-After": "10"})
        status = 202
        if outcomes["malformed"]:
            status = 400
        elif outcomes["refused"] and not outcomes["accepted"] + outcomes["duplicate"]:
            status = 409
        return JSONResponse({**outcomes, "reasons": sorted(set(received.malformed))[:10]}, status)


def _problem(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"reason": reason}, status, headers=headers)
