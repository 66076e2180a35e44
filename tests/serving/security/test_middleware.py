"""What stands around every route, asked through ASGI and through a real server."""

import asyncio
import json
import logging
import socket
import ssl
import threading
import time
import uuid
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from cxr.serving.pending import PendingBytes
from cxr.serving.problems import Overloaded, Problem
from cxr.serving.security import middleware
from cxr.serving.security.middleware import protect, request_id_of
from cxr.serving.security.tls import development_certificate, server_context

CANARY = "DOE^JOHN^19700101"
LIMIT = 1000


async def _length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _id(request: Request) -> Response:
    return PlainTextResponse(request.state.request_id)


async def _ignores(_request: Request) -> Response:
    return PlainTextResponse("not read")


async def _swallows(request: Request) -> Response:
    try:
        return PlainTextResponse(str(len(await request.body())))
    except Exception:  # noqa: BLE001 - as FastAPI's own reading of bodies does
        return PlainTextResponse("bad form", 400)


async def _slow(request: Request) -> Response:
    await request.body()
    await asyncio.sleep(30)
    return PlainTextResponse("late")


async def _own_headers(_request: Request) -> Response:
    return PlainTextResponse("x", headers={"Cache-Control": "public", "X-Request-Id": "mine", "X-Other": "kept"})


async def _times_out(_request: Request) -> Response:
    raise TimeoutError(CANARY)


async def _breaks_off(_request: Request) -> Response:
    async def parts():
        yield b"a part"
        raise ValueError(CANARY)

    return StreamingResponse(parts())


def _plain(routes):
    """Routes without Starlette's own error handling, which answers before anything around it sees an exception."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await Starlette()(scope, receive, send)
            return
        path = scope["path"]
        if path == "/fails":
            raise ValueError(CANARY)
        if path == "/refuses":
            raise Problem("teapot", 418, "short and stout", "Tip me over.", {"X-Handle": "here"})
        await Starlette(routes=routes)(scope, receive, send)

    return app


ROUTES = [
    Route("/length", _length, methods=["POST", "GET"]),
    Route("/id", _id),
    Route("/ignores", _ignores, methods=["POST"]),
    Route("/swallows", _swallows, methods=["POST"]),
    Route("/slow", _slow, methods=["POST"]),
    Route("/own", _own_headers),
    Route("/times-out", _times_out),
    Route("/breaks-off", _breaks_off),
]


def _app(*, timeout=5.0, tls=False):
    return protect(_plain(ROUTES), max_bytes=LIMIT, timeout=timeout, tls=tls)


def _ask(method, path, *, app=None, base="http://host.example", **given):
    async def ask():
        transport = httpx.ASGITransport(app or _app(), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **given)

    return asyncio.run(ask())


def _is_problem(response, status, code):
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert set(body) == {"request_id", "code", "reason", "what_to_do"}
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Content-Type"] == "application/json"
    return True


# ---- request id


def test_each_request_has_a_new_id_that_the_application_knows():
    first, second = _ask("GET", "/id"), _ask("GET", "/id")
    assert first.text == first.headers["X-Request-Id"]
    assert uuid.UUID(first.text).version == 4
    assert first.text != second.text


@pytest.mark.parametrize(
    "given",
    [
        "ebc90136-92ef-4347-b671-e280a20a1e4f",
        "552cd7cd09f546d6ab3bcc5677e12ac2",
        "9658345E-7AA5-46F5-B9D8-F218F5BA7308",
    ],
)
def test_a_client_may_give_a_uuid(given):
    assert _ask("GET", "/id", headers={"X-Request-Id": given}).text == given.lower()


def test_two_ids_are_none():
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    assert _ask("GET", "/id", headers=[("X-Request-Id", one) for one in ids]).text not in ids


@given(st.text() | st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
def test_nothing_that_a_client_could_mean_something_by_becomes_an_id(text):
    made = request_id_of(text)
    assert made != text or uuid.UUID(text)
    assert request_id_of(made) == made


# ---- headers


def test_every_answer_tells_browsers_what_not_to_do():
    for response in (_ask("GET", "/id"), _ask("GET", "/absent"), _ask("GET", "/fails"), _ask("GET", "/refuses")):
        headers = response.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in headers


def test_headers_of_the_application_give_way_where_they_are_the_same():
    headers = _ask("GET", "/own").headers
    assert headers.get_list("Cache-Control") == ["no-store"]
    assert headers["X-Request-Id"] != "mine"
    assert headers["X-Other"] == "kept"


@pytest.mark.parametrize(
    ("host", "strict"),
    [
        ("cxr.example", True),
        ("cxr.example:8443", True),
        ("10.0.0.7:8443", True),
        ("localhost", False),
        ("localhost:8443", False),
        ("127.0.0.1:8443", False),
        ("[::1]:8443", False),
        ("[::1]", False),
    ],
)
def test_strict_transport_is_asked_for_under_tls_but_never_for_all_ports_of_this_machine(host, strict):
    response = _ask("GET", "/id", app=_app(tls=True), headers={"Host": host})
    assert ("Strict-Transport-Security" in response.headers) == strict


# ---- errors


def test_a_problem_becomes_its_answer():
    response = _ask("GET", "/refuses")
    assert _is_problem(response, 418, "teapot")
    assert response.json()["reason"] == "short and stout"
    assert response.headers["X-Handle"] == "here"


def test_a_defect_becomes_a_500_that_says_nothing_of_it(caplog):
    response = _ask("GET", "/fails")
    assert _is_problem(response, 500, "internal")
    (record,) = caplog.records
    assert record.request_id == response.headers["X-Request-Id"]
    assert CANARY not in response.text + caplog.text
    assert "ValueError" in caplog.text


def test_words_of_a_client_reach_no_log(caplog):
    caplog.set_level(logging.DEBUG, "cxr")
    given = {"X-Request-Id": CANARY, "X-API-Key": CANARY, "User-Agent": CANARY}
    for path in ("/fails", "/refuses", f"/{CANARY}", "/times-out"):
        _ask("POST", f"{path}?name={CANARY}", headers=given, content=CANARY.encode() * 100)
    assert CANARY not in caplog.text
    assert not any(CANARY in str(vars(record)) for record in caplog.records)


def test_websockets_are_turned_away():
    async def greet(websocket):
        await websocket.accept()

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    app = protect(Starlette(routes=[WebSocketRoute("/", greet)]), max_bytes=1, timeout=1, tls=False)
    asyncio.run(app({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# ---- size


async def _parts(count, size=100):
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("path", ["/length", "/swallows"])
def test_a_body_up_to_the_limit_is_read(path):
    assert _ask("POST", path, content=b"x" * LIMIT).text == str(LIMIT)
    assert _ask("POST", path, content=_parts(10)).text == str(LIMIT)


@pytest.mark.parametrize("path", ["/length", "/swallows", "/ignores"])
def test_a_body_that_says_to_be_larger_is_refused(path):
    assert _is_problem(_ask("POST", path, content=b"x" * (LIMIT + 1)), 413, "too_large")


@pytest.mark.parametrize("path", ["/length", "/swallows"])
def test_a_body_that_turns_out_larger_is_refused(path):
    assert _is_problem(_ask("POST", path, content=_parts(11)), 413, "too_large")


@given(st.lists(st.integers(0, 600), max_size=8))
def test_a_body_is_refused_exactly_when_its_parts_exceed_the_limit(sizes):
    async def parts():
        for size in sizes:
            yield b"x" * size

    response = _ask("POST", "/swallows", content=parts())
    if sum(sizes) > LIMIT:
        assert _is_problem(response, 413, "too_large")
    else:
        assert response.text == str(sum(sizes))


def test_bytes_under_way_are_told_and_checked():
    told: list[int] = []
    pending = PendingBytes(10, tell=told.append)
    pending.add(10)
    pending.check()
    pending.add(1)
    with pytest.raises(Overloaded):
        pending.check()
    pending.add(-11)
    assert told == [10, 11, 0]


def test_bodies_of_all_requests_together_are_limited_and_room_comes_back():
    app = protect(_plain(ROUTES), max_bytes=LIMIT, timeout=5, tls=False, pending=PendingBytes(1500))
    ended = asyncio.Event()

    async def lingering():
        yield b"x" * 900
        await ended.wait()

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client:
            first = asyncio.create_task(client.post("/length", content=lingering()))
            await asyncio.sleep(0.05)
            refused = [await client.post("/length", content=b"x" * 601) for _ in range(3)]
            beside = await client.post("/length", content=b"x" * 600)
            ended.set()
            return refused, beside, await first, await client.post("/length", content=b"x" * LIMIT)

    refused, beside, first, after = asyncio.run(ask())
    for response in refused:
        assert _is_problem(response, 503, "overloaded")
        assert response.headers["Retry-After"] == "1"
    assert (beside.text, first.text, after.text) == ("600", "900", "1000")


@pytest.mark.parametrize("length", ["-1", "1e3", "", "²", "9" * 5000])
def test_a_length_that_is_none_is_refused(length):
    response = _ask("POST", "/length", headers={"Content-Length": length.encode("utf-8")}, content=_parts(1))
    assert response.status_code in (400, 413)
    assert set(response.json()) == {"request_id", "code", "reason", "what_to_do"}


# ---- time


def test_an_answer_that_takes_too_long_is_a_504():
    started = time.monotonic()
    assert _is_problem(_ask("POST", "/slow", app=_app(timeout=0.2), content=b"x"), 504, "answer_timeout")
    assert time.monotonic() - started < 2


def test_a_body_that_takes_too_long_is_a_408():
    async def forever():
        yield b"x"
        await asyncio.sleep(5)

    assert _is_problem(_ask("POST", "/length", app=_app(timeout=0.2), content=forever()), 408, "request_timeout")


def test_a_timeout_of_the_application_s_own_is_a_defect_like_any_other():
    async def app(_scope, _receive, _send):
        raise TimeoutError

    response = _ask("GET", "/", app=protect(app, max_bytes=1, timeout=5, tls=False))
    assert _is_problem(response, 500, "internal")


# ---- a real server


@contextmanager
def _serving(app, **given):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **given)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module", params=["h11", "httptools"])
def port(request):
    with pytest.MonkeyPatch.context() as patch, _serving(_app(timeout=0.5), http=request.param) as port:
        patch.setattr(middleware, "_LINGER", 0.3)
        yield port


def _said(port, *parts, pause=0.0):
    """What a server says to raw bytes: whole answers until it closes or is silent for 4 s."""
    with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        received = b""
        while more := connection.recv(65536):
            received += more
            head, _, body = received.partition(b"\r\n\r\n")
            if b"content-length:" in head and len(body) >= int(head.split(b"content-length: ")[1].split(b"\r\n")[0]):
                break
    return head.decode(), body


def test_a_chunked_upload_that_never_ends_is_cut_off(port):
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    head, body = _said(port, b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, chunk)
    assert head.startswith("HTTP/1.1 413")
    assert "connection: close" in head
    assert json.loads(body)["code"] == "too_large"


def test_an_upload_that_trickles_in_is_cut_off(port):
    started = time.monotonic()
    head, body = _said(port, b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n", b"x", b"x", pause=0.1)
    assert head.startswith("HTTP/1.1 408")
    assert "connection: close" in head
    assert json.loads(body)["code"] == "request_timeout"
    assert time.monotonic() - started < 4


def test_a_client_that_waits_to_go_on_is_refused_before_it_uploads(port):
    started = time.monotonic()
    head, _ = _said(port, b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
    assert head.startswith("HTTP/1.1 413")
    assert time.monotonic() - started < 1


def test_a_client_that_sends_all_at_once_sees_why_it_was_refused(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert _is_problem(client.post("/length", content=b"x" * 8 * 2**20), 413, "too_large")
            assert _is_problem(client.post("/refuses", content=b"x" * 900), 418, "teapot")
            assert client.post("/length", content=b"x" * 900).text == "900"


def test_an_answer_that_breaks_off_is_not_taken_for_whole(port, caplog):
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/breaks-off")
    assert CANARY not in caplog.text


def test_under_tls_all_is_the_same_and_a_renewed_certificate_is_served(tmp_path):
    folder, other = tmp_path / "tls", tmp_path / "other"
    development_certificate(folder)
    development_certificate(other)

    def client(authority):
        return httpx.Client(verify=ssl.create_default_context(cafile=authority / "ca.pem"))

    context = server_context(folder / "server.pem", folder / "server.key")
    with _serving(_app(tls=True), ssl_context_factory=lambda _config, _default: context) as port:
        base = f"https://localhost:{port}"
        with client(folder) as asking:
            assert asking.post(f"{base}/length", content=b"x" * LIMIT).text == str(LIMIT)
            assert _is_problem(asking.post(f"{base}/length", content=b"x" * 4 * 2**20), 413, "too_large")
            assert "Strict-Transport-Security" in asking.get(f"{base}/id", headers={"Host": "cxr.example"}).headers
            assert "Strict-Transport-Security" not in asking.get(f"{base}/id").headers
            for name in ("server.key", "server.pem"):
                (other / name).replace(folder / name)
            with client(other) as new:
                assert new.get(f"{base}/id").status_code == 200
            assert asking.get(f"{base}/id").status_code == 200
        with client(folder) as late, pytest.raises(httpx.ConnectError):
            late.get(f"{base}/id")
