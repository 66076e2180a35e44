"""The sidecar's report as the predictor hands it on."""

import asyncio
from pathlib import Path

import pytest

from cxr.errors import ServingError
from cxr.serving.http.drift import DriftReport
from cxr.serving.settings import Settings
from support.proxies import StubProxy

REPORT = b'{"state": "steady"}'


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "drift.token"
    path.write_text("t0ken\n")
    path.chmod(0o600)
    return path


def read(tmp_path: Path, token: Path | None, *, after: str = "") -> tuple[dict[str, object], list[str]]:
    """What a sidecar on a real socket is asked, and what becomes of its answer; `after` follows its address."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(REPORT), REPORT))
        writer.close()

    async def go() -> dict[str, object]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{after}"
            settings = Settings(bundle=tmp_path, state=tmp_path, drift_url=url, drift_token_file=token)
            return await DriftReport(settings).read()

    return asyncio.run(go()), asked


@pytest.mark.parametrize("after", ["", "/"])
def test_the_report_is_asked_for_with_the_token(tmp_path: Path, token: Path, after: str) -> None:
    report, (asked,) = read(tmp_path, token, after=after)
    assert report == {"state": "steady"}
    assert asked.startswith("GET /drift_report HTTP/1.1\r\n")
    assert "authorization: bearer t0ken\r\n" in asked.lower()


def test_no_proxy_comes_between(tmp_path: Path, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StubProxy.started(monkeypatch) as proxy:
        report, asked = read(tmp_path, token)
        assert proxy.seen == []
    assert (report, len(asked)) == ({"state": "steady"}, 1)


def test_a_token_that_others_can_read_is_not_used(tmp_path: Path, token: Path) -> None:
    token.chmod(0o644)
    with pytest.raises(ServingError, match="chmod 600"):
        read(tmp_path, token)


def test_without_a_sidecar_the_reason_is_told(tmp_path: Path) -> None:
    report = asyncio.run(DriftReport(Settings(bundle=tmp_path, state=tmp_path)).read())
    assert report == {"state": "unavailable", "reason": "no drift sidecar is configured"}
