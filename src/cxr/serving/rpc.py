"""V2 over gRPC: KServe's servicer, with TLS and keys, which KServe's own server lacks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from cxr.serving.caller import CALLER, Caller
from cxr.serving.guard import Guard
from cxr.serving.problems import Problem, TooSlow, unexpected
from cxr.serving.security.keys import Scope
from cxr.serving.security.middleware import request_id_of
from cxr.serving.security.tls import grpc_credentials
from cxr.serving.service import Service
from cxr.serving.v2 import check_counts, invalid

logger = logging.getLogger(__name__)

_MOST_RPCS = 512
_OPEN = {"ServerLive", "ServerReady"}
_ADMIN = {"RepositoryModelLoad", "RepositoryModelUnload"}
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Method = Callable[[Any, Any], Awaitable[Message]]


class Servicer(InferenceServicer):  # type: ignore[misc]  # KServe is untyped
    """KServe's answers, and ours where KServe's do not ask whether the service is ready."""

    def __init__(self, service: Service, plane: DataPlane, extension: ModelRepositoryExtension) -> None:
        super().__init__(plane, extension)
        self._service = service

    async def ServerReady(  # noqa: N802 - the protocol's name
        self, request: pb.ServerReadyRequest, context: Any
    ) -> pb.ServerReadyResponse:
        """Whether requests are wanted now."""
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def ModelInfer(  # noqa: N802 - the protocol's name
        self, request: pb.ModelInferRequest, context: Any
    ) -> pb.ModelInferResponse:
        """Answer a request that is not too large to be taken apart."""
        check_counts(request.inputs, request.outputs)
        return await super().ModelInfer(request, context)

    async def RepositoryModelLoad(  # noqa: N802 - the protocol's name
        self, request: pb.RepositoryModelLoadRequest, context: Any
    ) -> pb.RepositoryModelLoadResponse:
        """Read the bundle again."""
        if request.model_name != self._service.settings.model_name:
            raise ModelNotFound(None)
        await self._service.reload()
        return pb.RepositoryModelLoadResponse(model_name=request.model_name, isLoaded=True)


class _Guarded(aio.ServerInterceptor):  # type: ignore[misc]  # gRPC is untyped
    """Key, rate and request id before a method runs, limits while it does; a status instead of whatever it raises.

    gRPC waits for the message of a unary call without limit, and the call holds one of the server's places meanwhile.
    Every call is therefore served as one whose messages its method asks for.
    """

    def __init__(self, service: Service, guard: Guard) -> None:
        self._service = service
        self._guard = guard

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Let a call in, or answer it unread: its message is only received once the key is known."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        name = details.method.rsplit("/", 1)[-1]
        metadata = {str(key): str(value) for key, value in details.invocation_metadata or ()}
        request_id = request_id_of(metadata.get("x-request-id"))
        try:
            key_id = await self._admitted(name, metadata, request_id)
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            return grpc.stream_unary_rpc_method_handler(self._turned_away(name, error, request_id))
        caller = Caller(request_id=request_id, key_id=key_id, protocol="grpc")
        return grpc.stream_unary_rpc_method_handler(
            self._method(name, handler, caller), response_serializer=handler.response_serializer
        )

    def _method(self, name: str, handler: Any, caller: Caller) -> Method:
        answer = self._unread if name in _OPEN else self._read

        async def method(_messages: Any, context: aio.ServicerContext) -> Any:
            started, outcome = time.perf_counter(), "CANCELLED"
            CALLER.set(caller)
            try:
                await context.send_initial_metadata((("x-request-id", caller.request_id),))
                answered = await answer(handler, context)
                outcome = "OK"
                return answered
            except Exception as error:  # noqa: BLE001 - every failure becomes a status
                problem = _problem(error, caller.request_id)
                outcome = problem.code
                await _abort(context, problem)
            finally:
                seconds = time.perf_counter() - started
                self._service.metrics.requests.labels("grpc", name, outcome).inc()
                self._service.metrics.request_seconds.labels("grpc", name).observe(seconds)

        return method

    async def _unread(self, handler: Any, context: aio.ServicerContext) -> Message:
        """The answer to an open method, whose message is empty: a stranger need not send it."""
        return await handler.unary_unary(handler.request_deserializer(b""), context)

    async def _read(self, handler: Any, context: aio.ServicerContext) -> Message:
        """The answer to the one message of a call, both within the time that a request may take."""
        seconds, arrived = self._service.settings.request_timeout, False
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                message = await context.read()
                arrived = True
                if message is aio.EOF:
                    raise invalid("a call must have one message, has none")
                with self._holding(len(message)):
                    return await handler.unary_unary(handler.request_deserializer(message), context)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TooSlow(seconds, arrived=arrived) from None

    @contextmanager
    def _holding(self, size: int) -> Iterator[None]:
        """Count the bytes of a message that has arrived until its call is answered."""
        self._service.pending.add(size)
        try:
            self._service.pending.check()
            yield
        finally:
            self._service.pending.add(-size)

    def _turned_away(self, name: str, error: Exception, request_id: str) -> Method:
        async def method(_requests: Any, context: aio.ServicerContext) -> Any:
            await context.send_initial_metadata((("x-request-id", request_id),))
            problem = _problem(error, request_id)
            self._service.metrics.requests.labels("grpc", name, problem.code).inc()
            await _abort(context, problem)

        return method

    async def _admitted(self, name: str, metadata: dict[str, str], request_id: str) -> str | None:
        if name in _OPEN:
            return None
        scope = Scope.ADMIN if name in _ADMIN else Scope.PREDICT
        return await self._guard.admit(metadata, scope=scope, request_id=request_id)


class GrpcServer:
    """A gRPC server of its own, since KServe's listens in plaintext."""

    def __init__(self, service: Service, plane: DataPlane, extension: ModelRepositoryExtension, guard: Guard) -> None:
        settings = service.settings
        options = [
            ("grpc.max_receive_message_length", settings.max_bytes + 2**20),
            ("grpc.max_send_message_length", settings.max_bytes + 2**20),
            ("grpc.so_reuseport", 0),
        ]
        self._server = aio.server(
            interceptors=(_Guarded(service, guard),), options=options, maximum_concurrent_rpcs=_MOST_RPCS
        )
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            Servicer(service, plane, extension), self._server
        )
        address = f"{settings.host}:{settings.grpc_port}"
        if settings.tls_certificate is None or settings.tls_key is None:
            self.port = self._server.add_insecure_port(address)
        else:
            credentials = grpc_credentials(settings.tls_certificate, settings.tls_key)
            self.port = self._server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no new call and let those that run end within `grace` seconds."""
        await self._server.stop(grace)


async def _abort(context: aio.ServicerContext, problem: Problem) -> None:
    """End a call with the status of a problem; gRPC raises out of this."""
    status = _CODES.get(problem.status, grpc.StatusCode.INTERNAL)
    trailing = (("x-cxr-code", problem.code), *_retry(problem))
    await context.abort(status, f"{problem.code}: {problem.reason}. {problem.what_to_do}", trailing)


def _retry(problem: Problem) -> tuple[tuple[str, str], ...]:
    seconds = problem.headers.get("Retry-After")
    return () if seconds is None else (("retry-after", seconds),)


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ModelNotFound):
        return Problem(
            "model_not_found", 404, "there is no such model", "Ask for the model's name with ServerMetadata."
        )
    if isinstance(error, ModelNotReady):
        return Problem("not_ready", 503, "the model is not ready", "Try again in a few seconds.")
    if isinstance(error, InvalidInput | InferenceError | DecodeError):
        return Problem("invalid_request", 400, "the request breaks the V2 protocol", "See the model's metadata.")
    return unexpected(error, request_id)
