import asyncio
import json
import time
from datetime import UTC, datetime

import numpy as np

from cxr.contracts.events import PredictionEvent, decode_events
from cxr.contracts.prediction import ActivationPeak, FilmPrediction
from cxr.serving.events import EventQueue, prediction_event

TOKEN = "t0ken"  # noqa: S105 - of the test


def make(number=0):
    return PredictionEvent(
        request_id=f"r-{number}",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        bundle="a" * 64,
        embedding=np.array([number], "<f4").tobytes(),
        probabilities={"Normal": 1.0},
        decision="Normal",
        confidence=1.0,
        distance=0.0,
        statistics=(),
    )


class Receiver:
    """A sidecar on a real socket that answers with the statuses it is given, then with the last one again."""

    def __init__(self, *statuses, hang=False):
        self.statuses, self.hang = list(statuses or [202]), hang
        self.events, self.headers = [], []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _answer(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().lower().split("\r\n")[1:]
                headers = dict(line.split(": ", 1) for line in lines if line)
                body = await reader.readexactly(int(headers["content-length"]))
                if self.hang:
                    await asyncio.sleep(60)
                status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
                self.headers.append(headers)
                if status == 202:
                    self.events += decode_events(headers, body).events
                writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


def send(receiver, number, *, capacity=1024, timeout=5.0):
    async def go():
        async with receiver:
            queue = EventQueue(receiver.url, token=TOKEN, capacity=capacity)
            queue.start()
            for place in range(number):
                queue.offer(make(place))
            await queue.close(timeout=timeout)
            return queue.counts

    return asyncio.run(go())


def test_all_events_arrive_in_order_with_the_token():
    receiver = Receiver()
    counts = send(receiver, 100)
    assert [event.request_id for event in receiver.events] == [f"r-{number}" for number in range(100)]
    assert (counts.sent, counts.dropped, counts.failed) == (100, 0, 0)
    assert {headers["authorization"] for headers in receiver.headers} == {"bearer t0ken"}


def test_what_could_not_be_taken_is_sent_again():
    receiver = Receiver(503, 429, 202)
    counts = send(receiver, 5)
    assert len(receiver.events) == 5
    assert (counts.sent, counts.failed) == (5, 0)


def test_what_is_refused_is_counted_and_not_sent_again():
    receiver = Receiver(409)
    counts = send(receiver, 5)
    assert (counts.sent, counts.dropped, counts.failed) == (0, 0, 5)
    assert len(receiver.headers) == 1


def test_a_sidecar_that_hangs_costs_offers_nothing_and_the_oldest_are_dropped():
    async def go():
        async with Receiver(hang=True) as receiver:
            queue = EventQueue(receiver.url, capacity=50)
            queue.start()
            queue.offer(make())
            await asyncio.sleep(0.1)
            begun = time.perf_counter()
            for place in range(1000):
                queue.offer(make(place))
            took = time.perf_counter() - begun
            waiting = queue.waiting
            await queue.close(timeout=0.1)
            return took, waiting, queue.counts

    took, waiting, counts = asyncio.run(go())
    assert took < 0.5
    assert waiting == 50
    assert (counts.sent, counts.dropped, counts.failed) == (0, 1001, 0)


def test_a_sidecar_that_is_not_there_is_no_error():
    async def go():
        queue = EventQueue("http://127.0.0.1:9")
        queue.start()
        queue.offer(make())
        await queue.close(timeout=0.2)
        return queue.counts

    assert asyncio.run(go()).dropped == 1


def test_without_an_address_nothing_is_kept():
    async def go():
        queue = EventQueue(None)
        queue.start()
        queue.offer(make())
        await queue.close()
        return queue.enabled, queue.waiting, queue.counts.dropped

    assert asyncio.run(go()) == (False, 0, 0)


def test_the_event_of_a_prediction_leaves_the_file_name_behind():
    prediction = FilmPrediction(
        file="PATIENT^NAME.dcm",
        bundle="b" * 64,
        probabilities={"Normal": 0.25, "Pneumonia": 0.75},
        decision="Pneumonia",
        confidence=0.75,
        operating_points={},
        distance=2.0,
        out_of_distribution=False,
        referred=(),
        activation=ActivationPeak(finding="Pneumonia", x=1, y=2),
    )
    embedding = np.array([1, 2, 3], np.float32)
    event = prediction_event(prediction, request_id="r-1", embedding=embedding, statistics=np.array([5, 6], np.float32))
    np.testing.assert_array_equal(event.vector(), embedding)
    assert (event.bundle, event.decision, event.statistics) == ("b" * 64, "Pneumonia", (5.0, 6.0))
    assert "PATIENT" not in json.dumps(str(event))
