from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import GENESIS, KINDS, AuditError, Head, KeyUse, Refusal, checked
from support.audit_trail import KEY, key_use, prediction

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def line(sequence: int = 1, *, key: bytes = KEY) -> bytes:
    event = checked(prediction())
    return Chain(key).line(sequence=sequence, time=NOW, previous=GENESIS, event=event)[0]


def test_a_line_is_json_that_reads_back() -> None:
    written, digest = Chain(KEY).line(sequence=7, time=NOW, previous=GENESIS, event=checked(prediction(3)))
    record = Chain(KEY).record(written)
    assert (record.sequence, record.time, record.previous, record.event) == (7, NOW, GENESIS, prediction(3))
    assert msgspec.json.decode(written)["digest"] == record.digest == digest
    assert msgspec.json.decode(written)["event"]["kind"] == "prediction"


@given(st.data())
def test_no_byte_of_a_line_can_change(data: st.DataObject) -> None:
    original = line()
    place = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[place]))
    changed = original[:place] + bytes([byte]) + original[place + 1 :]
    with pytest.raises(Altered):
        Chain(KEY).record(changed)


@pytest.mark.parametrize("changed", [b"", b"\n", line()[:-1], line() + b"\n", b" " + line(), line(key=b"another" * 8)])
def test_what_is_no_line_of_this_key_is_altered(changed: bytes) -> None:
    with pytest.raises(Altered):
        Chain(KEY).record(changed)


def test_times_are_kept_in_any_zone() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    written, _ = Chain(KEY).line(sequence=1, time=local, previous=GENESIS, event=checked(key_use()))
    assert Chain(KEY).record(written).time == NOW


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", "PATIENT^NAME"),
        ("request_id", "x" * 129),
        ("request_id", "a\nb"),
        ("request_id", "a\n"),
        ("input_hmac", "film.dcm"),
        ("code", "Müller, Anna"),
        ("key_id", "cxr_secret/with/slash"),
        ("preprocessing", "/home/someone"),
    ],
)
def test_free_text_is_refused_and_not_quoted(field: str, value: str) -> None:
    given = {
        "request_id": "r", "key_id": None, "protocol": "grpc", "bundle": "a" * 64, "preprocessing": "1",
        "input_hmac": "b" * 64, "code": "corrupt",
    }  # fmt: skip
    checked(Refusal(**given))
    with pytest.raises(AuditError, match=rf"Refusal does not at `\$.{field}`") as caught:
        checked(Refusal(**given | {field: value}))
    assert value not in str(caught.value)


def test_heads_read_what_they_print() -> None:
    head = Head(trail="0123456789abcdef", sequence=42, digest="f" * 64)
    assert Head.parse(f" {head}\n") == head
    with pytest.raises(AuditError, match="TRAIL:SEQUENCE:DIGEST"):
        Head.parse("42")


def test_short_keys_are_refused() -> None:
    with pytest.raises(AuditError, match="at least 32 bytes, has 5"):
        Chain(b"short")


def test_fingerprints_tell_keys_apart() -> None:
    assert Chain(KEY).fingerprint == Chain(KEY).fingerprint != Chain(KEY + b".").fingerprint
    assert KEY.hex() not in Chain(KEY).fingerprint


def test_kinds_are_those_of_the_events() -> None:
    assert {"prediction", "refusal", "key", "model", "service", "recovered"} < KINDS
    assert KeyUse.__struct_config__.tag in KINDS
