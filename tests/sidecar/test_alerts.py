import asyncio
import json

import pytest

from cxr.contracts.drift import Verdict
from cxr.contracts.webhook import sign
from cxr.sidecar.alerts import AlertDesk, Webhook

SECRET = "s3cret"  # noqa: S105 - of the test


def note(desk, alarms):
    verdicts = [Verdict(films=100, alarm=mark == "x", level=0.01, tests=(), left_out={}) for mark in alarms]
    alerts = [desk.note(verdict, bundle="b", at=f"t{place}") for place, verdict in enumerate(verdicts)]
    return [(place, alert.event) for place, alert in enumerate(alerts) if alert is not None]


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [
        ("x.x.x.", []),
        ("xx", [(1, "began")]),
        ("xxxxxx", [(1, "began")]),
        ("xx..x..x", [(1, "began")]),
        ("xx...", [(1, "began"), (4, "ended")]),
        ("xx...xx...", [(1, "began"), (4, "ended"), (6, "began"), (9, "ended")]),
    ],
)
def test_incidents_begin_and_end_with_hysteresis(tmp_path, alarms, expected):
    assert note(AlertDesk(tmp_path / "book.json", fire=2, clear=3), alarms) == expected


def test_a_restart_neither_repeats_nor_forgets(tmp_path):
    assert note(AlertDesk(tmp_path / "book.json", fire=2, clear=3), "x") == []
    assert note(AlertDesk(tmp_path / "book.json", fire=2, clear=3), "x") == [(0, "began")]
    desk = AlertDesk(tmp_path / "book.json", fire=2, clear=3)
    assert note(desk, "x") == []
    assert len(desk.book.undelivered) == 1
    desk.delivered(desk.book.undelivered[0])
    assert AlertDesk(tmp_path / "book.json", fire=2, clear=3).book.undelivered == ()


def test_an_alert_is_posted_with_a_signature(tmp_path):
    desk = AlertDesk(tmp_path / "book.json", fire=1, clear=1)
    note(desk, "x")
    received = []

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        received.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = 500 if len(received) == 1 else 204
        writer.write(f"HTTP/1.1 {status} x\r\nconnection: close\r\n\r\n".encode())
        writer.close()

    async def go():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        hook = Webhook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", secret=SECRET)
        told = [await hook.tell(desk.book.undelivered[0]) for _ in range(2)]
        server.close()
        return [*told, await hook.tell(desk.book.undelivered[0])]

    assert asyncio.run(go()) == [False, True, False]
    headers, body = received[1]
    assert json.loads(body)["incident"] == headers["x-cxr-incident"]
    assert headers["x-cxr-signature"] == sign(SECRET.encode(), headers["x-cxr-timestamp"], body)
