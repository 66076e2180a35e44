import asyncio
import contextlib
import logging
import shutil

import httpx
import pytest

from cxr.contracts.bundle import DRIFT_FOLDER
from cxr.contracts.drift import ARRAYS_FILE, AlertBook
from cxr.contracts.events import BATCH, encode_batch, encode_binary
from cxr.contracts.files import read_json
from cxr.sidecar import service
from cxr.sidecar.app import make_app
from cxr.sidecar.service import DriftService
from cxr.sidecar.settings import Settings
from support.drift_bundle import FINDINGS, make_events, write_drift_bundle

TOKEN = "shared"  # noqa: S105 - of the test


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    for name in ("_FOLLOW_EVERY", "_TRY_AGAIN", "_FIRST_PAUSE"):
        monkeypatch.setattr(service, name, 0.01)


@contextlib.asynccontextmanager
async def running(tmp_path, **changes):
    settings = Settings(bundle=tmp_path / "bundle", state=tmp_path / "state", token=TOKEN, **changes)
    app = make_app(settings, DriftService(settings))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sidecar") as client,
    ):
        yield client


async def post(client, events, *, token=TOKEN):
    headers = {"content-type": BATCH, "authorization": f"Bearer {token}"}
    return await client.post("/events", content=encode_batch(events), headers=headers)


async def report(client):
    return (await client.get("/drift_report")).json()


async def until(condition):
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def until_report(client, **expected):
    """Wait until the report says something."""
    async with asyncio.timeout(30):
        while not expected.items() <= (await report(client)).items():
            await asyncio.sleep(0.01)


async def health(client):
    return {name: (await client.get(f"/health/{name}")).status_code for name in ("live", "ready")}


@contextlib.asynccontextmanager
async def hooked(received):
    """A webhook that takes every alert and passes its incident on; yields its address."""

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(headers["content-length"]))
        received(headers["x-cxr-incident"])
        writer.write(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@pytest.fixture
def digest(tmp_path):
    return write_drift_bundle(tmp_path / "bundle")


def test_usual_films_are_steady_and_strange_ones_become_one_incident(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            states = [(await report(client))["state"]]
            for seed in (11, 12):
                assert (await post(client, make_events(50, seed, bundle=digest))).status_code == 202
            states.append((await report(client))["state"])
            await post(client, make_events(100, 13, bundle=digest, shift=1.5))
            found = await report(client)
            return [*states, found["state"]], found

    states, found = asyncio.run(go())
    assert states == ["collecting", "steady", "drift"]
    assert found["films"] == 100
    assert [alert["event"] for alert in found["alerts"]] == ["began"]
    assert {test["name"] for test in found["verdict"]["tests"] if test["alarm"]} >= {"component 1", "component 2"}


def test_window_and_incident_outlive_the_process(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            await post(client, make_events(100, 13, bundle=digest, shift=1.5))
            before = await report(client)
        async with running(tmp_path) as client:
            return before, await report(client)

    before, after = asyncio.run(go())
    assert (before["state"], after["state"], after["films"]) == ("drift", "drift", 100)
    assert after["alerts"] == before["alerts"]
    assert after["verdict"]["tests"] == before["verdict"]["tests"]


def test_events_sent_again_count_once(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            events = make_events(10, 1, bundle=digest)
            first, again = await post(client, events), await post(client, events)
            headers, body = encode_binary(events[0])
            single = await client.post("/events", content=body, headers=headers | {"authorization": f"Bearer {TOKEN}"})
            return first.json(), again.json(), single.json()

    first, again, single = asyncio.run(go())
    assert (first["accepted"], again["duplicate"], single["duplicate"]) == (10, 10, 1)


def test_events_of_another_bundle_are_refused_until_it_is_the_one_that_lies_there(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            await post(client, make_events(10, 1, bundle=digest))
            strange = await post(client, make_events(10, 2, bundle="f" * 64))
            other = write_drift_bundle(tmp_path / "bundle", seed=50)
            followed = await post(client, make_events(10, 3, bundle=other))
            return strange, followed, await report(client), other

    strange, followed, found, other = asyncio.run(go())
    assert (strange.status_code, followed.status_code) == (409, 202)
    assert (found["bundle"], found["films"]) == (other, 10)


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"[1]", b'[{"specversion":"1.0"}]', b"\xff\xfe", b"[" * 100000])
def test_what_is_malformed_is_400(tmp_path, digest, body):
    async def go():
        async with running(tmp_path) as client:
            headers = {"content-type": BATCH, "authorization": f"Bearer {TOKEN}"}
            return await client.post("/events", content=body, headers=headers)

    assert asyncio.run(go()).status_code == 400


def test_events_that_do_not_fit_the_bundle_are_malformed_and_the_others_count(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            good, bad = make_events(2, 1, bundle=digest)
            bad = type(bad)(**{name: getattr(bad, name) for name in bad.__struct_fields__} | {"statistics": (1.0,)})
            return await post(client, [good, bad])

    answer = asyncio.run(go())
    assert answer.status_code == 400
    assert (answer.json()["accepted"], answer.json()["malformed"]) == (1, 1)


def test_without_the_token_nothing_is_taken(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            answer = await post(client, make_events(1, 1, bundle=digest), token="wrong")  # noqa: S106 - of the test
            return answer.status_code, (await report(client))["films"]

    assert asyncio.run(go()) == (401, 0)


def test_a_request_that_is_too_large_or_too_many_are_sent_away(tmp_path, digest):
    async def go():
        async with running(tmp_path, most_bytes=1000) as client:
            large = await post(client, make_events(10, 1, bundle=digest))
        async with running(tmp_path, most_requests=0) as client:
            return large.status_code, await post(client, make_events(1, 1, bundle=digest))

    large, busy = asyncio.run(go())
    assert large == 413
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("events", [0, 60])
def test_the_page_shows_both_and_loads_nothing(tmp_path, digest, events):
    async def go():
        async with running(tmp_path) as client:
            await post(client, make_events(events, 1, bundle=digest, shift=1.5))
            return await client.get("/drift_report", headers={"accept": "text/html"})

    page = asyncio.run(go())
    assert page.headers["content-type"].startswith("text/html")
    assert all(name in page.text for name in (*FINDINGS, "component 1", "distance", "noise", digest))
    assert not any(word in page.text for word in ("http:", "https:", "<script", "src="))
    assert ("Tests of the last" in page.text) == (events > 0)


def test_metrics_say_what_the_report_says(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            await post(client, make_events(60, 1, bundle=digest))
            return (await client.get("/metrics")).text

    text = asyncio.run(go())
    assert 'cxr_drift_received_events_total{outcome="accepted"} 60.0' in text
    assert 'cxr_drift_state{state="steady"} 1.0' in text
    assert "cxr_drift_window_films 60.0" in text
    assert 'cxr_drift_p_value{group="image",name="noise"}' in text


def test_a_bundle_without_rehearsal_or_distances_is_watched(tmp_path):
    digest = write_drift_bundle(tmp_path / "bundle", rehearsal=False)

    async def go():
        async with running(tmp_path) as client:
            await post(client, make_events(60, 1, bundle=digest))
            return await report(client), (await client.get("/drift_report.html")).text

    found, page = asyncio.run(go())
    assert found["state"] == "steady"
    assert "Not measured" in page


def test_both_health_routes_are_well(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            return await health(client)

    assert asyncio.run(go()) == {"live": 200, "ready": 200}


def missing(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [missing, truncated])
def test_half_a_copy_of_a_bundle_is_tried_again_until_it_is_whole(tmp_path, digest, caplog, damage):
    other = write_drift_bundle(tmp_path / "other", seed=50)

    async def go():
        async with running(tmp_path) as client:
            shutil.copytree(tmp_path / "other", tmp_path / "half")
            damage(tmp_path / "half" / DRIFT_FOLDER / ARRAYS_FILE)
            shutil.rmtree(tmp_path / "bundle")
            (tmp_path / "half").rename(tmp_path / "bundle")
            refused = await post(client, make_events(10, 2, bundle=other))
            await until(lambda: "cannot be watched" in caplog.text)
            own = await post(client, make_events(10, 1, bundle=digest))
            between = await report(client), await health(client)
            shutil.copy(tmp_path / "other" / DRIFT_FOLDER / ARRAYS_FILE, tmp_path / "bundle" / DRIFT_FOLDER)
            await until_report(client, bundle=other)
            return refused, own, between, await post(client, make_events(10, 3, bundle=other))

    with caplog.at_level(logging.ERROR):
        refused, own, (found, well), taken = asyncio.run(go())
    assert (refused.status_code, own.status_code, taken.status_code) == (409, 202, 202)
    assert (found["bundle"], well) == (digest, {"live": 200, "ready": 200})


def test_an_alert_that_cannot_be_struck_off_is_posted_once_and_the_next_one_follows(tmp_path, digest, caplog):
    book, told = tmp_path / "state" / digest[:16] / "alerts.json", []

    def received(incident):
        told.append(incident)
        if len(told) == 1:
            book.rename(book.with_suffix(".aside"))
            book.mkdir()  # a file cannot take its place

    async def go():
        async with hooked(received) as webhook, running(tmp_path, webhook=webhook, fire=1, clear=1) as client:
            await post(client, make_events(100, 13, bundle=digest, shift=1.5))
            await until(lambda: "cannot be noted" in caplog.text)
            well = await health(client), (await report(client))["undelivered"]
            book.rmdir()
            await until_report(client, undelivered=0)
            await post(client, make_events(100, 11, bundle=digest))
            await until(lambda: len(told) > 1)
            await until_report(client, undelivered=0)
            return well

    assert asyncio.run(go()) == ({"live": 200, "ready": 200}, 1)
    assert told == [told[0]] * 2
    assert [alert.event for alert in read_json(book, AlertBook).last] == ["ended", "began"]


def test_events_are_taken_when_no_file_can_be_begun_for_them(tmp_path, digest):
    async def go():
        async with running(tmp_path) as client:
            (tmp_path / "state" / digest[:16] / "events-00000002.jsonl").mkdir()
            answers = [await post(client, make_events(100, seed, bundle=digest)) for seed in range(7)]
            return {answer.status_code for answer in answers}, await report(client)

    statuses, found = asyncio.run(go())
    assert (statuses, found["events"]["accepted"]) == ({202}, 700)


def test_a_task_that_ended_by_itself_ends_liveness_alone_and_the_window_is_closed(
    tmp_path, digest, monkeypatch, caplog
):
    def broken(_):
        raise RuntimeError("a defect")

    async def go():
        async with running(tmp_path) as client:
            monkeypatch.setattr(service, "Watch", broken)
            write_drift_bundle(tmp_path / "bundle", seed=50)
            await until(lambda: "must be started anew" in caplog.text)
            return await health(client), await post(client, make_events(10, 1, bundle=digest))

    well, answer = asyncio.run(go())  # the application ends without an error
    assert (well, answer.status_code) == ({"live": 503, "ready": 200}, 202)
    (record,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert record.exc_info[0] is RuntimeError
