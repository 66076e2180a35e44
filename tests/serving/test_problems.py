"""The one shape of every answer that is an error."""

import io
import json
import logging

import pytest

from cxr.errors import REJECTION_CODES, RejectedFilm
from cxr.serving.problems import (
    REMEDIES,
    BodyTooLarge,
    Forbidden,
    Overloaded,
    Problem,
    RateLimited,
    TooSlow,
    Unauthenticated,
    refusal,
    unexpected,
)

STATUS = {"too_large": 413, "not_an_image": 415, "unsupported_encoding": 415}


def test_every_reason_to_refuse_a_film_has_a_status_and_advice():
    assert set(REMEDIES) == set(REJECTION_CODES)
    for code, remedy in REMEDIES.items():
        assert remedy.status == STATUS.get(code, 422)
        assert remedy.what_to_do.endswith(".")


@pytest.mark.parametrize("code", REJECTION_CODES)
def test_a_refusal_keeps_code_and_reason(code):
    problem = refusal(RejectedFilm(code, "because"))
    assert json.loads(problem.body("some-id")) == {
        "request_id": "some-id",
        "code": code,
        "reason": "because",
        "what_to_do": REMEDIES[code].what_to_do,
    }


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (Unauthenticated(), 401, "unauthenticated"),
        (Forbidden("admin", key_id="0" * 12), 403, "forbidden"),
        (BodyTooLarge(10), 413, "too_large"),
        (RateLimited(3), 429, "rate_limited"),
        (Overloaded("too much", retry_after=3), 503, "overloaded"),
        (TooSlow(3, arrived=False), 408, "request_timeout"),
        (TooSlow(3, arrived=True), 504, "answer_timeout"),
    ],
)
def test_each_kind_of_problem_has_its_status(problem, status, code):
    assert (problem.status, problem.code) == (status, code)
    assert str(problem) == f"{code} ({status}): {problem.reason}"


def test_a_401_names_the_scheme():
    assert Unauthenticated().headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1, "1"), (1.01, "2"), (59.5, "60")])
def test_retry_after_is_rounded_up_to_whole_seconds(seconds, header):
    assert RateLimited(seconds).headers["Retry-After"] == header
    assert Overloaded("too much", retry_after=seconds).headers["Retry-After"] == header


def test_a_defect_is_logged_with_its_place_and_without_its_text():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("cxr.serving.problems")
    logger.addHandler(handler)
    try:
        problem = unexpected(_failing(), "some-id")
    finally:
        logger.removeHandler(handler)
    assert isinstance(problem, Problem)
    assert problem.status == 500
    assert "ValueError" in stream.getvalue()
    assert "in _failing" in stream.getvalue()
    assert "DOE^JOHN" not in stream.getvalue() + str(problem) + problem.body("some-id").decode()


def test_a_logged_defect_has_the_request_id(caplog):
    unexpected(_failing(), "some-id")
    (record,) = caplog.records
    assert record.request_id == "some-id"


def _failing() -> Exception:
    name = "DOE^JOHN"
    try:
        try:
            raise KeyError(name)
        except KeyError as error:
            raise ValueError(f"no such patient {name}") from error
    except ValueError as error:
        return error
