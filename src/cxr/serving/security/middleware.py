"""What stands between the network and every route, as plain ASGI: what a request may be, and what every answer has."""

import asyncio
import re
import uuid
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr.serving.pending import PendingBytes
from cxr.serving.problems import BodyTooLarge, Problem, TooSlow, unexpected

_REQUEST_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_HOST = re.compile(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::\d*)?", re.ASCII)
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_HSTS = {"strict-transport-security": "max-age=31536000"}
_LINGER = 2.0
"""Seconds for which the rest of a refused body is thrown away: a client that still sends would not see the answer."""


def protect(app: ASGIApp, *, max_bytes: int, timeout: float, tls: bool, pending: PendingBytes | None = None) -> ASGIApp:
    """An application behind, outermost first: request id, security headers, error bodies, time limit, body limit.

    Args:
        app: whose exceptions become answers.
        max_bytes: of a request's body.
        timeout: seconds from the request's headers to the end of its answer.
        tls: browsers come over HTTPS, and are told to come no other way.
        pending: bytes of all requests under way, those by other ways included; no limit when None.
    """
    limited = TimeLimit(BodyLimit(app, max_bytes, pending=pending or PendingBytes()), timeout)
    return RequestId(SecurityHeaders(Errors(limited), tls=tls))


def request_id_of(given: str | None) -> str:
    """The id that a client gave a request when it is a UUID, in lower case, and a new one otherwise.

    Nothing else is taken: a name or a record number would go into every log from there.
    """
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.lower()
    return str(uuid.uuid4())


class RequestId:
    """Gives each request an id, as `scope["state"]["request_id"]` and in the answer's `X-Request-Id`.

    WebSockets, which nothing here speaks, are turned away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist("x-request-id")
        request_id = request_id_of(given[0] if len(given) == 1 else None)
        known = {**scope, "state": {**scope.get("state", {}), "request_id": request_id}}
        await self._app(known, receive, _adding({"x-request-id": request_id}, send))


class SecurityHeaders:
    """Puts headers on each answer that keep browsers from framing it, storing it, or guessing what it is."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app = app
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        strict = self._tls and not _is_this_machine(Headers(scope=scope).get("host", ""))
        await self._app(scope, receive, _adding(_HEADERS | _HSTS if strict else _HEADERS, send))


class Errors:
    """Turns every exception into an answer: a `Problem` into its own, any other into a 500 that says nothing of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming, outgoing = _Incoming(receive), _Outgoing(send)
        request_id = scope["state"]["request_id"]
        try:
            await self._app(scope, incoming, outgoing)
        except Problem as problem:
            answer = problem
        except Exception as error:  # noqa: BLE001 - logged, and answered with a 500
            answer = unexpected(error, request_id)
        else:
            return
        if not outgoing.started:
            whole = await _at_end(scope, incoming)
            await _answer(send, answer, request_id, close=not whole)


class TimeLimit:
    """Ends a request that takes too long: 408 while it arrives, 504 after."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = _Incoming(receive)
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                await self._app(scope, incoming, send)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TooSlow(self._seconds, arrived=incoming.ended or not _has_body(scope)) from None


class BodyLimit:
    """Refuses a body that is too large (413), and one for which other requests leave no room (503).

    The size is what Content-Length says, and what comes.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, *, pending: PendingBytes) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._pending = pending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _stated_length(scope) > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)
        counted = _Counted(receive, self._max_bytes, self._pending)
        outgoing = _Outgoing(send, unless=lambda: counted.refusal is not None)
        try:
            await self._app(scope, counted, outgoing)
        except Exception:
            if counted.refusal is None:
                raise
        finally:
            self._pending.add(-counted.bytes)
        if counted.refusal is not None:
            raise counted.refusal


class _Incoming:
    """A request's messages, and whether its body has ended."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.begun = False
        self.ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.begun = True
        self.ended = self.ended or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


class _Counted:
    """A request's messages until there are too many bytes; whatever the application makes of the error, it is known."""

    def __init__(self, receive: Receive, max_bytes: int, pending: PendingBytes) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._pending = pending
        self.bytes = 0
        self.refusal: Problem | None = None

    async def __call__(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        self.bytes += size
        self._pending.add(size)
        try:
            if self.bytes > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)
            if size:
                self._pending.check()
        except Problem as refusal:
            self.refusal = refusal
            raise
        return message


class _Outgoing:
    """An answer's messages, and whether there were any; they are dropped from the start when `unless` says so."""

    def __init__(self, send: Send, unless: Callable[[], bool] | None = None) -> None:
        self._send = send
        self._unless = unless
        self.started = False

    async def __call__(self, message: Message) -> None:
        if not self.started and self._unless is not None and self._unless():
            return
        self.started = True
        await self._send(message)


def _adding(headers: dict[str, str], send: Send) -> Send:
    """Send with headers that replace those of the same name."""
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    replaced = {name for name, _ in encoded}

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
            message["headers"] = [(name, value) for name, value in kept if name.lower() not in replaced] + encoded
        await send(message)

    return adding


def _is_this_machine(host: str) -> bool:
    """Whether a Host header names the loopback interface: strict transport there would be for all of its ports."""
    parsed = _HOST.fullmatch(host)
    name = "" if parsed is None else parsed["address"] or parsed["name"]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _stated_length(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Problem("invalid_request", 400, "Content-Length must be a number", "Let an HTTP library write it.")
    return int(text) if len(text) < 20 else 10**20


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


async def _at_end(scope: Scope, incoming: _Incoming) -> bool:
    """Whether the body has ended, after what is on its way has been thrown away.

    A client that waits to be told to go on (Expect: 100-continue) is not told so for that.
    """
    waits = Headers(scope=scope).get("expect", "").lower() == "100-continue" and not incoming.begun
    if waits or not _has_body(scope):
        return not waits
    try:
        async with asyncio.timeout(_LINGER):
            while not incoming.ended:
                await incoming()
    except TimeoutError:
        return False
    return True


async def _answer(send: Send, problem: Problem, request_id: str, *, close: bool) -> None:
    body = problem.body(request_id)
    headers = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers}
    if close:
        headers["connection"] = "close"
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
