"""Thousands of damaged films and requests at a running service: an answer for each, never a 5xx, no growth."""

import asyncio
import io
import json
import random
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import grpc
import numpy as np
import pytest
from kserve import InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image

from support.films import dicom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

UPLOADS, BODIES, CALLS = 3000, 2000, 1000
AT_ONCE = 16
GROWTH = 150
"""MiB that the allocator may keep beyond the first thousand requests; a leak of one film a request would be 300."""


def in_three_formats(film: bytes) -> list[bytes]:
    pixels = np.asarray(Image.open(io.BytesIO(film)))
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG")
    return [film, jpeg.getvalue(), dicom(pixels)]


def damaged(seed: bytes, rng: random.Random) -> bytes:
    """A few of: flipped bytes, a cut, a repeated part, a part of noise, another length field."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        kind, at = rng.randrange(5), rng.randrange(max(1, len(data)))
        if kind == 0:
            for _ in range(rng.randint(1, 16)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = data[at : at + rng.randint(1, 400)]
        elif kind == 3:
            data[at : at + rng.randint(1, 64)] = rng.randbytes(rng.randint(0, 64))
        else:
            head = rng.randrange(min(200, len(data) or 1))
            data[head : head + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        if not data:
            break
    return bytes(data)


def infer_body(film: bytes, rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """A V2 request, damaged in the JSON, in the raw film, or in the length header."""
    tensor = InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([film], dtype=object), binary_data=True)
    body, length = InferRequest("cxr", [tensor]).to_rest()
    kind = rng.randrange(3)
    if kind == 0:
        body = damaged(body[:length], rng) + body[length:]
    elif kind == 1:
        body = body[:length] + damaged(body[length:], rng)
    else:
        length = rng.choice([0, 1, length - 1, length + 1, len(body), 10**9])
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(length)}
    return body, headers


def memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def gathered(jobs, at_once=AT_ONCE):
    """Run coroutines, so many at once, and count what they return."""
    counts, waiting = Counter(), iter(jobs)

    async def work():
        for job in waiting:
            counts[await job] += 1

    await asyncio.gather(*(work() for _ in range(at_once)))
    return counts


async def over_rest(service, jobs):
    context = ssl.create_default_context(cafile=str(service.ca))
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, headers={"X-API-Key": service.keys["predict"]}) as session:

        async def post(path, data, headers):
            async with session.post(service.url + path, data=data, headers=headers) as response:
                answer = await response.read()
                if response.status >= 400:
                    body = json.loads(answer)
                    assert body["code"], body
                    assert body["reason"], body
                    assert body["what_to_do"], body
                return response.status

        return await gathered(post(*job) for job in jobs)


async def over_grpc(service, seeds, rng, count):
    credentials = grpc.ssl_channel_credentials(service.ca.read_bytes())
    async with grpc.aio.secure_channel(service.grpc, credentials) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = (("x-api-key", service.keys["predict"]),)

        async def call():
            film = damaged(rng.choice(seeds), rng)
            tensor = pb.ModelInferRequest.InferInputTensor(
                name=rng.choice(["image"] * 8 + ["films", ""]),
                datatype=rng.choice(["BYTES"] * 8 + ["FP32", "X"]),
                shape=rng.choice([[1]] * 8 + [[2], [-1], [], [2**40]]),
            )
            request = pb.ModelInferRequest(model_name="cxr", inputs=[tensor])
            if rng.random() < 0.5:
                request.inputs[0].contents.bytes_contents.append(film)
            else:
                raw = len(film).to_bytes(4, "little") + film
                request.raw_input_contents.append(damaged(raw, rng) if rng.random() < 0.5 else raw)
            try:
                await stub.ModelInfer(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        return await gathered(call() for _ in range(count))


def test_damaged_films_and_requests_get_an_answer_each(service, film):
    rng, seeds = random.Random(42), in_three_formats(film)
    uploads = [
        ("/predict", damaged(rng.choice(seeds), rng), {"Content-Type": "application/octet-stream"})
        for _ in range(UPLOADS)
    ]
    first = asyncio.run(over_rest(service, uploads[:1000]))
    settled = memory(service.process.pid)
    counts = first + asyncio.run(over_rest(service, uploads[1000:]))
    counts += asyncio.run(
        over_rest(service, (("/v2/models/cxr/infer", *infer_body(rng.choice(seeds), rng)) for _ in range(BODIES)))
    )
    codes = asyncio.run(over_grpc(service, seeds, rng, CALLS))
    print(f"\nREST {dict(counts)}, gRPC { ({code.name: n for code, n in codes.items()}) }")  # noqa: T201 - for the log
    assert sum(counts.values()) == UPLOADS + BODIES
    assert max(counts) < 500
    assert counts[200] > 100
    assert codes[grpc.StatusCode.OK] > 10
    assert sum(codes.values()) == CALLS
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    grown = memory(service.process.pid) - settled
    print(f"memory {settled:.0f} MiB, grown by {grown:.0f} MiB")  # noqa: T201
    assert service.process.poll() is None
    assert grown < GROWTH


def test_requests_made_up_from_the_description_get_no_5xx(service):
    done = subprocess.run(
        [str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/openapi.json",
         "--header", f"X-API-Key: {service.keys['predict']}", "--tls-verify", str(service.ca),
         "--checks", "not_a_server_error", "--phases", "fuzzing,stateful", "--max-examples", "200", "--no-color"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
