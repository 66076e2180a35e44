"""What stands around every route, KServe's included: limits, errors, headers, keys."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from cxr.serving.caller import CALLER, Caller
from cxr.serving.guard import Guard
from cxr.serving.security.keys import Scope
from cxr.serving.security.middleware import protect
from cxr.serving.service import Service

logger = logging.getLogger(__name__)

_UNANSWERED = 499
"""Counted for requests that ended without an answer of ours: the client went away, or the time limit came first."""

_OPEN = frozenset({"/", "/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"})
_OPEN_BELOW = ("/static/", "/docs/")
_ANY_KEY = frozenset({"/metrics", "/drift_report"})
_ROUTES = frozenset(
    {"/predict", "/batch_predict", "/explain", "/preview", "/model", "/admin/reload", "/audit/head"} | _OPEN | _ANY_KEY
)


def scope_of(path: str) -> Scope | None:
    """The scope that a path asks for, None for the open ones; whatever is not known asks for `predict`.

    `/metrics` and `/drift_report` take any key, which `Scope.ANY` says.
    """
    if path in _OPEN or path.startswith(_OPEN_BELOW):
        return None
    if path in _ANY_KEY:
        return Scope.ANY
    if path.startswith("/admin/") or path.startswith("/v2/repository/"):
        return Scope.ADMIN
    if path.startswith("/audit/"):
        return Scope.AUDIT
    return Scope.PREDICT


def protected(app: ASGIApp, service: Service, guard: Guard) -> ASGIApp:
    """The application behind its guards, outermost first: request id, headers, errors, limits, measuring, key."""
    settings = service.settings
    return protect(
        _measured(_keyed(app, guard), service),
        max_bytes=settings.max_bytes + 2**20,
        timeout=settings.request_timeout,
        pending=service.pending,
        tls=settings.tls_certificate is not None or settings.behind_proxy,
    )


def _keyed(app: ASGIApp, guard: Guard) -> ASGIApp:
    async def keyed(scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked = scope_of(scope["path"])
            request_id = scope["state"]["request_id"]
            key_id = None
            if asked is not None:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
                key_id = await guard.admit(headers, scope=asked, request_id=request_id)
            scope["state"]["key_id"] = key_id
            CALLER.set(Caller(request_id=request_id, key_id=key_id, protocol="rest"))
        await app(scope, receive, send)

    return keyed


def _measured(app: ASGIApp, service: Service) -> ASGIApp:
    async def measured(scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started, status = time.perf_counter(), _UNANSWERED
        route = _route(scope["path"])

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting)
        except Exception as error:
            status = getattr(error, "status", 500)
            raise
        finally:
            seconds = time.perf_counter() - started
            service.metrics.requests.labels("rest", route, str(status)).inc()
            service.metrics.request_seconds.labels("rest", route).observe(seconds)
            if route not in _OPEN:
                _log(scope, route, status, seconds)

    return measured


def _log(scope: Connection, route: str, status: int, seconds: float) -> None:
    state = scope["state"]
    extra = {
        "request_id": state["request_id"],
        "key_id": state.get("key_id"),
        "route": route,
        "status": status,
        "milliseconds": round(1000 * seconds, 2),
    }
    logger.info("answered", extra=extra)


def _route(path: str) -> str:
    """A path as a label: a client's own words never become one."""
    if path in _ROUTES:
        return path
    if path.startswith("/static/"):
        return "/static"
    if path.startswith("/v2/"):
        return "/v2/infer" if path.endswith("/infer") else "/v2"
    return "other"
