"""Signatures of alerts: whoever changes anything is not believed."""

from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.webhook import MOST_AGE, is_signed, sign

SECRET = b"secret"


@given(body=st.binary(), at=st.integers(0, 10**10), late=st.floats(-MOST_AGE, MOST_AGE))
def test_what_was_signed_is_believed_for_a_while(body: bytes, at: int, late: float) -> None:
    signature = sign(SECRET, str(at), body)
    assert is_signed(SECRET, timestamp=str(at), body=body, signature=signature, now=at + late)
    assert not is_signed(SECRET, timestamp=str(at), body=body, signature=signature, now=at + late + 2 * MOST_AGE + 1)


@given(body=st.binary(min_size=1), place=st.integers(0), bit=st.integers(0, 7), at=st.integers(0, 10**10))
def test_a_changed_body_time_or_secret_is_not(body: bytes, place: int, bit: int, at: int) -> None:
    signature = sign(SECRET, str(at), body)
    changed = bytearray(body)
    changed[place % len(body)] ^= 1 << bit
    assert not is_signed(SECRET, timestamp=str(at), body=bytes(changed), signature=signature, now=at)
    assert not is_signed(SECRET, timestamp=str(at + 1), body=body, signature=signature, now=at)
    assert not is_signed(b"another", timestamp=str(at), body=body, signature=signature, now=at)


@given(timestamp=st.text(), signature=st.text())
def test_nothing_that_is_sent_makes_it_fail(timestamp: str, signature: str) -> None:
    assert not is_signed(SECRET, timestamp=timestamp, body=b"", signature=signature, now=0.0)
