"""Making, replacing and ending keys."""

import re
import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest

from cxr.errors import ServingError
from cxr.serving.security.keyfile import (
    ApiKey,
    KeyFile,
    Scope,
    create_key,
    list_keys,
    read_keys,
    revoke_key,
    rotate_key,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "keys.json"


def _only(path):
    (key,) = list_keys(path)
    return key


def test_a_key_has_256_random_bits_and_only_its_digest_is_kept(path):
    secret = create_key(path, scopes=[Scope.PREDICT])
    key = _only(path)
    assert re.fullmatch(rf"cxr_{key.id}_[A-Za-z0-9_-]{{43}}", secret)
    assert key.digest == sha256(secret.encode()).hexdigest()
    assert secret.split("_", 2)[2] not in path.read_text()
    assert secret not in repr(key)


def test_the_file_is_closed_to_others(path):
    create_key(path, scopes=[Scope.PREDICT])
    assert {entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()} == {0o600}


def test_keys_are_added_and_have_what_was_asked_for(path):
    create_key(path, scopes=[Scope.PREDICT, Scope.AUDIT, Scope.PREDICT])
    create_key(path, scopes=[Scope.ADMIN], lifetime=timedelta(days=3), rate_per_minute=7)
    first, second = list_keys(path)
    assert (first.scopes, first.expires) == ((Scope.PREDICT, Scope.AUDIT), None)
    assert (second.scopes, second.rate_per_minute) == ((Scope.ADMIN,), 7)
    assert second.expires - second.created == timedelta(days=3)


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"scopes": [Scope.ANY]}, {"scopes": [Scope.PREDICT], "rate_per_minute": 0}]
)
def test_a_key_that_could_do_nothing_or_everything_is_not_made(path, wrong):
    with pytest.raises(ServingError, match="must have scopes and a rate"):
        create_key(path, **wrong)
    assert not path.exists()


def test_rotation_makes_a_like_key_and_ends_the_old_one_after_the_grace(path):
    create_key(path, scopes=[Scope.AUDIT], lifetime=timedelta(days=90), rate_per_minute=5)
    old = _only(path)
    rotate_key(path, old.id, grace=timedelta(hours=2))
    ending, new = list_keys(path)
    now = datetime.now(UTC)
    assert ending.id == old.id
    assert ending.valid(now + timedelta(minutes=119))
    assert not ending.valid(now + timedelta(minutes=121))
    assert (new.scopes, new.rate_per_minute) == (old.scopes, 5)
    assert new.expires - new.created == timedelta(days=90)


def test_rotation_never_makes_an_old_key_last_longer(path):
    create_key(path, scopes=[Scope.AUDIT], lifetime=timedelta(minutes=1))
    old = _only(path)
    rotate_key(path, old.id, grace=timedelta(days=1))
    assert list_keys(path)[0].expires == old.expires


def test_a_key_that_has_ended_is_not_rotated(path):
    create_key(path, scopes=[Scope.PREDICT])
    key = _only(path)
    revoke_key(path, key.id)
    with pytest.raises(ServingError, match="must be valid"):
        rotate_key(path, key.id)
    assert len(list_keys(path)) == 1


def test_a_revoked_key_stays_in_the_file_with_its_first_moment(path):
    create_key(path, scopes=[Scope.PREDICT])
    revoke_key(path, _only(path).id)
    first = _only(path)
    revoke_key(path, first.id)
    assert first.revoked is not None
    assert _only(path) == first


def test_an_unknown_id_is_not_quoted(path):
    secret = create_key(path, scopes=[Scope.PREDICT])
    with pytest.raises(ServingError, match="no such id") as raised:
        revoke_key(path, secret)
    assert secret not in str(raised.value)


def test_changes_at_the_same_time_are_all_kept(path):
    threads = [threading.Thread(target=create_key, args=(path,), kwargs={"scopes": [Scope.PREDICT]}) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_keys(path)) == 12


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServingError, match="can be written"):
        create_key(tmp_path / "file" / "keys.json", scopes=[Scope.PREDICT])


@pytest.mark.parametrize("text", ["", "{", '{"version": 2, "keys": []}', '{"keys": [{"id": "short"}]}', '{"key": []}'])
def test_a_file_that_is_none_is_refused(path, text):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ServingError, match="valid file of API keys"):
        read_keys(path)


def test_a_file_that_others_can_change_is_refused(path):
    create_key(path, scopes=[Scope.PREDICT])
    path.chmod(0o666)
    with pytest.raises(ServingError, match="writable"):
        read_keys(path)


def test_ids_differ_and_times_have_a_zone():
    key = ApiKey(id="0" * 12, digest="0" * 64, scopes=(Scope.PREDICT,), created=datetime.now(UTC))
    with pytest.raises(ValueError, match="differ"):
        KeyFile(keys=(key, key))
    with pytest.raises(ValueError, match="time zone"):
        msgspec.structs.replace(key, expires=datetime(2030, 1, 1))
