"""gRPC against callers who are slow, silent or wrong: a real server in this process, with keys and without a bundle."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from cxr.serving import rpc
from cxr.serving.guard import Guard
from cxr.serving.model import CxrModel
from cxr.serving.security.keys import KeyStore, Scope, create_key
from cxr.serving.server import Repository

PLACES = 8
LONG = 30.0
OPEN = ["ServerLive", "ServerReady"]
SIZE = 600
KEYED = ["ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer"]


@pytest.fixture
def key(tmp_path):
    return create_key(tmp_path / "keys.json", scopes=(Scope.PREDICT,), rate_per_minute=1_000_000)


@pytest.fixture
def connected(make_service, key, tmp_path, monkeypatch):
    """A channel to a server with few places; settings are changed by name."""
    monkeypatch.setattr(rpc, "_MOST_RPCS", PLACES)

    @asynccontextmanager
    async def connect(**changes):
        service = make_service(**changes)
        repository = Repository()
        repository.update(CxrModel(service))
        guard = Guard(KeyStore.open(tmp_path / "keys.json"), service.journal)
        server = rpc.GrpcServer(service, DataPlane(repository), ModelRepositoryExtension(repository), guard)
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield channel
        finally:
            await server.stop(0)
            await service.close()

    return connect


@pytest.fixture
def gate(monkeypatch):
    """That the answer to ModelReady waits at, and the event that it has come there."""
    opened, reached = asyncio.Event(), asyncio.Event()

    async def healthy(_model):
        reached.set()
        return await opened.wait()

    monkeypatch.setattr(CxrModel, "healthy", healthy)
    return opened, reached


def half_open(channel, method, key=None):
    """A call whose message does not come: bytes in, bytes out."""
    call = channel.stream_unary(f"/inference.GRPCInferenceService/{method}")
    return call(metadata=() if key is None else (("x-api-key", key),), timeout=LONG)


def model_ready(channel, key, size=0):
    """A whole call of more than `size` bytes."""
    asked = pb.ModelReadyRequest(name="cxr", version=size * "v")
    return GRPCInferenceServiceStub(channel).ModelReady(asked, metadata=(("x-api-key", key),), timeout=LONG)


async def ending(call):
    """Status, code of the problem, and the metadata that follow an answer."""
    trailing = dict(await call.trailing_metadata())
    return await call.code(), trailing.pop("x-cxr-code", None), trailing


@pytest.mark.parametrize("method", OPEN)
def test_an_open_method_is_answered_without_its_message_and_holds_no_place(connected, method):
    async def ask():
        async with connected() as channel:
            silent = [half_open(channel, method) for _ in range(PLACES)]
            answers = [await call for call in silent]
            later = [await half_open(channel, method) for _ in range(3 * PLACES)]
            live = await GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=LONG)
            return answers + later, live

    answers, live = asyncio.run(ask())
    assert live.live
    assert set(answers) == {pb.ServerLiveResponse(live=True).SerializeToString() if method == "ServerLive" else b""}


def test_a_call_that_is_turned_away_holds_no_place(connected):
    async def ask():
        async with connected() as channel:
            codes = [await half_open(channel, "ModelInfer").code() for _ in range(3 * PLACES)]
            await GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=LONG)
            return codes

    assert set(asyncio.run(ask())) == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize("method", KEYED)
def test_a_keyed_call_whose_message_does_not_come_ends_within_the_time_limit(connected, key, method):
    async def ask():
        async with connected(request_timeout=0.1) as channel:
            silent = [half_open(channel, method, key) for _ in range(PLACES)]
            ended = [await ending(call) for call in silent]
            await half_open(channel, "ServerLive")
            return ended

    assert asyncio.run(ask()) == PLACES * [(grpc.StatusCode.DEADLINE_EXCEEDED, "request_timeout", {})]


def test_a_call_whose_answer_does_not_come_ends_within_the_time_limit(connected, key, gate):
    async def ask():
        async with connected(request_timeout=0.1) as channel:
            return await ending(model_ready(channel, key))

    assert asyncio.run(ask()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "answer_timeout", {})


def test_messages_under_way_leave_room_for_so_many_bytes_and_give_it_back(connected, key, gate):
    opened, reached = gate

    async def ask():
        async with connected(max_pending_bytes=SIZE * 3 // 2) as channel:
            first = model_ready(channel, key, SIZE)
            await asyncio.wait_for(reached.wait(), LONG)
            second = await ending(model_ready(channel, key, SIZE))
            opened.set()
            return await first, second, await model_ready(channel, key, SIZE)

    first, second, third = asyncio.run(ask())
    assert first.ready
    assert second == (grpc.StatusCode.UNAVAILABLE, "overloaded", {"retry-after": "1"})
    assert third.ready


@pytest.mark.parametrize(
    ("messages", "code"),
    [((), "invalid_request"), ((b"\xff\xff",), "invalid_request"), ((b"", b"another"), "model_not_found")],
)
def test_the_first_message_counts_and_must_be_one_of_the_protocol(connected, key, messages, code):
    async def sent():
        for message in messages:
            yield message

    async def ask():
        async with connected() as channel:
            call = channel.stream_unary("/inference.GRPCInferenceService/ModelReady")
            return await ending(call(sent(), metadata=(("x-api-key", key),), timeout=LONG))

    assert asyncio.run(ask())[1] == code


def test_a_message_beyond_the_limit_is_refused_by_grpc_itself(connected, key):
    async def ask():
        async with connected(max_bytes=1) as channel:
            return await ending(model_ready(channel, key, 2**20 + 1)), await model_ready(channel, key)

    refused, answered = asyncio.run(ask())
    assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, None, {})
    assert not answered.ready


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"inputs": [{"shape": [2**63 - 1] * 100_000}]},
            "input 0 must have a shape of rank 8 at most, has rank 100000",
        ),
        ({"inputs": [{}] * 100_000}, "at most 8 inputs, has 100000"),
        ({"outputs": [{"name": "decision"}] * 100_000}, "at most 32 outputs, asks for 100000"),
        ({"outputs": [{"name": "decision"}] * 2}, "once each; 1 of"),
    ],
)
def test_a_request_of_more_parts_than_the_model_has_is_refused_before_it_is_taken_apart(connected, key, parts, said):
    async def ask():
        async with connected() as channel:
            asked = pb.ModelInferRequest(model_name="cxr", **parts)
            metadata = (("x-api-key", key),)
            call = GRPCInferenceServiceStub(channel).ModelInfer(asked, metadata=metadata, timeout=LONG)
            return await call.code(), await call.details()

    code, details = asyncio.run(ask())
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert said in details
