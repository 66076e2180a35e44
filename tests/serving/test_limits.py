"""What a busy or a forbidden caller is told."""

import asyncio
import ssl
import time
from collections import Counter

import aiohttp
import httpx

from cxr.serving.security.keys import Scope, create_key
from support.predictor import started


def test_a_full_queue_is_503_with_retry_after_and_the_rest_is_answered(phantom_run, film, tmp_path):
    async def flood(service):
        counts, waits = Counter(), set()
        context = ssl.create_default_context(cafile=str(service.ca))
        headers = {"X-API-Key": service.keys["predict"], "Content-Type": "image/png"}

        async def ask(session):
            async with session.post(f"{service.url}/predict", data=film, headers=headers) as response:
                body = await response.json()
                counts[response.status, body.get("code")] += 1
                if response.status == 503:
                    waits.add(response.headers["Retry-After"])

        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(ask(session) for _ in range(150)))
        return counts, waits

    options = ("--max-queue", "1", "--max-batch", "1", "--decode-threads", "8")
    with started(phantom_run.bundle, tmp_path / "state", *options) as service:
        counts, waits = asyncio.run(flood(service))
        with service.client() as client:
            assert client.post("/predict", content=film).status_code == 200
    assert set(counts) == {(200, None), (503, "overloaded")}, counts
    assert counts.total() == 150
    assert all(int(wait) >= 1 for wait in waits)


def test_a_key_that_asks_too_often_is_429_with_retry_after(service, film):
    key = create_key(service.state / "keys.json", scopes=(Scope.PREDICT,), rate_per_minute=2)
    with service.client(None) as client:
        answers = [client.get("/model", headers={"X-API-Key": key}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30


def test_an_upload_that_does_not_end_is_408(phantom_run, tmp_path):
    def slowly():
        yield b"x" * 100
        time.sleep(3)
        yield b"x"

    with started(phantom_run.bundle, tmp_path / "state", "--request-timeout", "1") as service:
        with service.client() as client:
            try:
                answer = client.post("/predict", content=slowly(), headers={"Content-Type": "image/png"})
            except httpx.TransportError:
                return  # the answer came while the upload went on, and the connection was closed
        assert answer.status_code == 408
        assert answer.json()["code"] == "request_timeout"
