"""Errors of FastAPI and KServe as they reach a client."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import Body, FastAPI, Query
from kserve.errors import (
    InferenceError,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerNotReady,
    UnsupportedProtocol,
    generic_exception_handler,
    invalid_input_handler,
)
from pydantic import BaseModel

from cxr.serving.http.errors import add_problems
from cxr.serving.problems import Problem
from cxr.serving.security.middleware import protect

CANARY = "DOE^JOHN"
RAISED = {
    "problem": (Problem("teapot", 418, "short and stout", "Tip me over."), 418, "teapot"),
    "defect": (ValueError(CANARY), 500, "internal"),
    "input": (InvalidInput(CANARY), 400, "invalid_request"),
    "inference": (InferenceError(CANARY), 400, "invalid_request"),
    "model": (ModelNotFound(CANARY), 404, "model_not_found"),
    "loading": (ModelNotReady(CANARY), 503, "not_ready"),
    "starting": (ServerNotReady(CANARY), 503, "not_ready"),
    "protocol": (UnsupportedProtocol(CANARY), 404, "not_served"),
    "missing": (NotImplementedError(CANARY), 404, "not_served"),
}


class Film(BaseModel):
    """What a route of KServe reads from a body."""

    pixels: int


def _application() -> FastAPI:
    app = FastAPI()

    @app.get("/raise/{name}")
    async def raise_(name: str) -> None:
        raise RAISED[name][0]

    @app.get("/threshold")
    async def threshold(threshold: Annotated[float, Query(ge=0, le=1)]) -> float:
        return threshold

    @app.post("/films")
    async def films(films: Annotated[dict[str, Film], Body()]) -> int:
        return len(films)

    app.add_exception_handler(InvalidInput, invalid_input_handler)
    app.add_exception_handler(Exception, generic_exception_handler)
    add_problems(app)
    return app


def _ask(method, path, **given):
    async def ask():
        app = protect(_application(), max_bytes=10_000, timeout=5, tls=False)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client:
            return await client.request(method, path, **given)

    return asyncio.run(ask())


def _problem(response):
    assert set(response.json()) == {"request_id", "code", "reason", "what_to_do"}
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize("name", RAISED)
def test_whatever_a_route_raises_has_the_one_shape_and_quotes_nothing(name, caplog):
    response = _ask("GET", f"/raise/{name}")
    assert _problem(response) == RAISED[name][1:]
    assert CANARY not in response.text + caplog.text
    assert len(caplog.records) == (name == "defect")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", f"/{CANARY}", 404, "not_found"), ("DELETE", "/threshold", 405, "method_not_allowed")],
)
def test_what_is_not_served_has_the_one_shape(method, path, status, code):
    response = _ask(method, path)
    assert _problem(response) == (status, code)
    assert CANARY not in response.text
    assert status != 405 or response.headers["Allow"] == "GET"


def test_a_parameter_out_of_range_is_named_but_not_quoted():
    response = _ask("GET", f"/threshold?threshold={CANARY}")
    assert _problem(response) == (422, "invalid_request")
    assert "parameter threshold" in response.json()["reason"]
    assert CANARY not in response.text


@pytest.mark.parametrize("body", [f'{{"{CANARY}": {{"pixels": "many"}}}}', f"{{{CANARY}", "[]"])
def test_a_body_that_does_not_fit_is_not_quoted(body):
    response = _ask("POST", "/films", content=body, headers={"Content-Type": "application/json"})
    assert _problem(response) == (422, "invalid_request")
    assert CANARY not in response.text


def test_good_requests_pass():
    assert _ask("GET", "/threshold?threshold=0.5").json() == 0.5
