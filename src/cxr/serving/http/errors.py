"""Errors of FastAPI and KServe on their way out: each becomes a `Problem`, which the guards around them answer.

Their own answers quote what the client sent, KServe's log does too, and Starlette answers a defect before anything
around the application sees it.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from kserve.errors import (
    InferenceError,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerNotLive,
    ServerNotReady,
    UnsupportedProtocol,
)
from starlette.exceptions import HTTPException

from cxr.serving.problems import Problem

_SEE_DOCS = "See /docs for what is served and how to ask for it."
_DECLARED = ("query", "path", "header", "cookie")


def add_problems(app: FastAPI) -> None:
    """Let every error leave an application as an exception, after KServe has added its own handlers.

    The application must stand behind `cxr.serving.security.middleware.protect`.
    """
    app.add_exception_handler(Exception, _let_go)
    app.add_exception_handler(Problem, _let_go)
    for kind, problem in _PROBLEMS.items():
        app.add_exception_handler(kind, _raising(problem))


async def _let_go(_request: Request, error: Exception) -> NoReturn:
    raise error


def _raising(problem: Callable[[Any], Problem]) -> Any:
    async def handler(_request: Request, error: Exception) -> NoReturn:
        raise problem(error) from None

    return handler


def _invalid_parameters(error: RequestValidationError) -> Problem:
    """Names the parameters where these are ours; what is in a body has names that the client chose."""
    places = {tuple(detail["loc"][:2]) for detail in error.errors()}
    names = sorted(str(place[1]) for place in places if len(place) == 2 and place[0] in _DECLARED)
    what = f"parameter {', '.join(names)}" if names else "the request"
    return Problem("invalid_request", 422, f"{what} must be as /openapi.json says", _SEE_DOCS)


def _status(error: HTTPException) -> Problem:
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "invalid_request" if error.status_code < 500 else "internal")
    reason = HTTPStatus(error.status_code).phrase
    return Problem(code, error.status_code, reason, _SEE_DOCS, dict(error.headers or {}))


def _broken_protocol(_error: Exception) -> Problem:
    return Problem(
        "invalid_request",
        400,
        "the request breaks the V2 protocol",
        "Send the request as the V2 inference protocol and the model's metadata describe it.",
    )


def _no_model(_error: Exception) -> Problem:
    return Problem("model_not_found", 404, "there is no such model", "GET /v2/models lists those that there are.")


def _not_ready(_error: Exception) -> Problem:
    return Problem(
        "not_ready", 503, "the service is not ready", "Try again in a few seconds.", headers={"Retry-After": "2"}
    )


def _not_served(_error: Exception) -> Problem:
    return Problem("not_served", 404, "this part of the protocol is not served", _SEE_DOCS)


_PROBLEMS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    HTTPException: _status,
    RequestValidationError: _invalid_parameters,
    InvalidInput: _broken_protocol,
    InferenceError: _broken_protocol,
    ModelNotFound: _no_model,
    ModelNotReady: _not_ready,
    ServerNotReady: _not_ready,
    ServerNotLive: _not_ready,
    UnsupportedProtocol: _not_served,
    NotImplementedError: _not_served,
}
