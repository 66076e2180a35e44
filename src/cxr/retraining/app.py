"""The trigger's HTTP interface."""

import asyncio
import logging
import time

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cxr.adapters.request_body import read_body
from cxr.contracts.drift import Alert
from cxr.contracts.webhook import SIGNATURE, TIMESTAMP, is_signed
from cxr.errors import PipelineError, ServingError
from cxr.retraining.settings import Settings
from cxr.retraining.trigger import OUTCOMES, Trigger

logger = logging.getLogger(__name__)

_AGAIN = {"Retry-After": "30"}
_REFUSALS = ("unsigned", "malformed", "unavailable")


def make_app(settings: Settings, trigger: Trigger) -> Starlette:
    """The application of a trigger. Alerts must be signed; metrics hold counts only and need nothing."""
    endpoints = _Endpoints(settings, trigger)
    routes = [
        Route("/alerts", endpoints.alerts, methods=["POST"]),
        Route("/metrics", endpoints.metrics),
        Route("/health/live", _healthy),
        Route("/health/ready", endpoints.ready),
    ]
    return Starlette(routes=routes)


class _Endpoints:
    def __init__(self, settings: Settings, trigger: Trigger) -> None:
        self._settings, self._trigger = settings, trigger
        self._registry = CollectorRegistry()
        self._alerts = Counter("cxr_retraining_alerts", "Drift alerts", ["outcome"], registry=self._registry)
        for outcome in (*OUTCOMES, *_REFUSALS):
            self._alerts.labels(outcome)

    async def alerts(self, request: Request) -> Response:
        """Take an alert: 202 when it started a run, 200 when there was no need, 503 when it is to come again."""
        try:
            body = await read_body(request, most=self._settings.most_bytes)
        except ClientDisconnect:
            return self._refuse("malformed", 400, "the connection ended before the body did")
        if body is None:
            return self._refuse("malformed", 413, f"an alert must be at most {self._settings.most_bytes} bytes")
        try:
            if not self._signed(request, body):
                return self._refuse("unsigned", 401, "alerts must be signed with the secret that sidecars share")
            alert = msgspec.json.decode(body, type=Alert)
            decision = await asyncio.to_thread(self._trigger.take, alert)
        except msgspec.MsgspecError as error:
            return self._refuse("malformed", 400, f"an alert must be as the drift sidecar sends it: {error}")
        except (PipelineError, ServingError) as error:
            logger.error("no run can be started", extra={"reason": str(error)})
            return self._refuse("unavailable", 503, "no run can be started now; the log says why")
        self._alerts.labels(decision.outcome).inc()
        status = 202 if decision.outcome == "started" else 200
        return JSONResponse({"outcome": decision.outcome, "run": decision.run}, status)

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def ready(self, _: Request) -> Response:
        """Ready while the secret can be read; whether Kubeflow answers is told to those who send alerts."""
        try:
            self._settings.secret()
        except ServingError as error:
            return JSONResponse({"status": "unready", "reason": str(error)}, 503)
        return JSONResponse({"status": "ok"})

    def _signed(self, request: Request, body: bytes) -> bool:
        secret = self._settings.secret()
        return secret is None or is_signed(
            secret,
            timestamp=request.headers.get(TIMESTAMP, ""),
            body=body,
            signature=request.headers.get(SIGNATURE, ""),
            now=time.time(),
        )

    def _refuse(self, outcome: str, status: int, reason: str) -> Response:
        self._alerts.labels(outcome).inc()
        return JSONResponse({"reason": reason}, status, headers=_AGAIN if status == 503 else None)


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
