from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.events import (
    BATCH,
    STRUCTURED,
    PredictionEvent,
    decode_events,
    encode_batch,
    encode_binary,
    encode_structured,
)
from cxr.errors import ContractError

NUMBERS = st.floats(-1e6, 1e6, width=32)


@st.composite
def events(draw):
    share = draw(st.floats(0, 1))
    return PredictionEvent(
        request_id=str(draw(st.uuids())),
        time=draw(st.datetimes(timezones=st.just(UTC))),
        bundle=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        embedding=np.array(draw(st.lists(NUMBERS, min_size=1, max_size=8)), "<f4").tobytes(),
        probabilities={"Normal": share, "Pneumonia": 1 - share},
        decision="Normal",
        confidence=share,
        distance=draw(st.floats(0, 1e6)),
        statistics=tuple(draw(st.lists(NUMBERS, max_size=4))),
    )


def event(**changes):
    known = PredictionEvent(
        request_id="6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        bundle="a" * 64,
        embedding=np.array([1.5, -2], "<f4").tobytes(),
        probabilities={"Normal": 0.75, "Pneumonia": 0.25},
        decision="Normal",
        confidence=0.75,
        distance=3.0,
        statistics=(1.0, 2.0),
    )
    return msgspec.structs.replace(known, **changes)


@given(events())
@settings(deadline=None)  # also run where tests/conftest.py is not read
def test_every_form_gives_the_event_back(sent):
    headers, body = encode_binary(sent)
    for received in (
        decode_events(headers, body),
        decode_events({"content-type": STRUCTURED}, encode_structured(sent)),
        decode_events({"content-type": f"{BATCH}; charset=utf-8"}, encode_batch([sent])),
    ):
        assert (received.events, received.malformed) == ((sent,), ())


def test_the_envelope_is_that_of_cloudevents():
    envelope = msgspec.json.decode(encode_structured(event()))
    assert {name: envelope[name] for name in ("specversion", "type", "source", "datacontenttype")} == {
        "specversion": "1.0",
        "type": "org.cxr.prediction.v1",
        "source": "urn:cxr:predictor",
        "datacontenttype": "application/json",
    }
    assert envelope["id"] == event().id
    assert envelope["data"]["embedding"] == "AADAPwAAAMA="


def test_the_vector_is_the_embedding():
    np.testing.assert_array_equal(event().vector(), np.array([1.5, -2], np.float32))


def test_films_of_one_request_have_ids_of_their_own_and_a_repeated_one_has_the_same():
    other = event(embedding=np.array([1.5, 2], "<f4").tobytes())
    assert event().id == event(time=datetime(2026, 1, 3, tzinfo=UTC)).id
    assert event().id != other.id


@pytest.mark.parametrize(
    "changes",
    [
        {"embedding": b"123"},
        {"embedding": np.array([np.nan], "<f4").tobytes()},
        {"probabilities": {"Normal": 0.5, "Pneumonia": 0.25}},
        {"decision": "Tuberculosis"},
        {"confidence": 0.25},
        {"distance": float("nan")},
        {"distance": -1.0},
        {"statistics": (float("inf"),)},
        {"request_id": "JANE DOE"},
        {"request_id": "a\n"},
        {"bundle": "A" * 64},
        {"time": datetime(2026, 1, 2)},
    ],
)
def test_what_is_not_valid_is_told_and_does_not_spoil_the_rest(changes):
    received = decode_events({"content-type": BATCH}, encode_batch([event(), event(**changes)]))
    assert received.events == (event(),)
    assert len(received.malformed) == 1


def test_what_is_wrong_quotes_nothing():
    body = encode_structured(event()).replace(b'"distance"', b'"PATIENT^NAME"')
    received = decode_events({"content-type": STRUCTURED}, body)
    assert received.events == ()
    assert "PATIENT" not in received.malformed[0]


@given(st.binary(max_size=200), st.sampled_from([BATCH, STRUCTURED, "application/json", "text/plain", ""]))
@settings(deadline=None)
def test_any_bytes_give_an_answer_or_a_contract_error(body, kind):
    for headers in ({"content-type": kind}, {"content-type": kind, "ce-specversion": "1.0"}):
        try:
            assert decode_events(headers, body).events == ()
        except ContractError:
            continue
