"""Stand-ins for what may identify a patient."""

import hmac
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.errors import ServingError
from cxr.serving.security.pseudonyms import KEY_FILE_VARIABLE, Pseudonyms

KEY = bytes(range(32))


@given(st.binary(max_size=200))
def test_an_input_has_its_keyed_digest(data):
    assert Pseudonyms(KEY).of_input(data) == hmac.digest(KEY, b"input\0" + data, "sha256").hex()


def test_a_key_is_made_once_and_closed_to_others(tmp_path):
    path = tmp_path / "state" / "hmac.key"
    before = os.umask(0)
    try:
        first = Pseudonyms.open(path, environ={})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) >= 32
    assert Pseudonyms.open(path, environ={}).of_input(b"film") == first.of_input(b"film")
    assert Pseudonyms.open(tmp_path / "another", environ={}).of_input(b"film") != first.of_input(b"film")


def test_the_environment_names_a_shared_key(tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.write_bytes(KEY.hex().encode() + b"\n")
    shared.chmod(0o440)
    opened = Pseudonyms.open(own, environ={KEY_FILE_VARIABLE: str(shared)})
    assert opened.of_input(b"film") == Pseudonyms(KEY.hex().encode()).of_input(b"film")
    assert not own.exists()


def test_a_shared_key_that_is_absent_is_not_made(tmp_path):
    with pytest.raises(ServingError, match="absent"):
        Pseudonyms.open(tmp_path / "own", environ={KEY_FILE_VARIABLE: str(tmp_path / "absent")})
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_can_read_or_guess_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(KEY.hex().encode())
    path.chmod(0o644)
    with pytest.raises(ServingError, match="0644"):
        Pseudonyms.open(path, environ={})
    path.write_bytes(b"short\n")
    path.chmod(0o600)
    with pytest.raises(ServingError, match="at least 32 bytes, has 5"):
        Pseudonyms.open(path, environ={})


def test_the_key_is_in_no_repr():
    assert KEY.hex() not in repr(Pseudonyms(KEY))
    assert repr(KEY) not in repr(Pseudonyms(KEY))
