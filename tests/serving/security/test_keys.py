"""Whose key a request brings."""

import hmac
import logging
import os
import threading
import time
from datetime import timedelta

import pytest

from cxr.errors import ServingError
from cxr.serving.problems import Forbidden, Unauthenticated
from cxr.serving.security import keys as module
from cxr.serving.security.keys import KeyStore, Scope, create_key, credential_of, list_keys, revoke_key, rotate_key

UNKNOWN = "cxr_0123456789ab_" + "A" * 43


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def secret(path):
    return create_key(path, scopes=[Scope.PREDICT], rate_per_minute=9)


@pytest.fixture
def store(path, secret):
    return KeyStore.open(path)


def _id(path, number=0):
    return list_keys(path)[number].id


def test_a_key_is_recognised(store, secret, path):
    identity = store.identify(secret, scope=Scope.PREDICT)
    assert (identity.id, identity.scopes, identity.rate_per_minute) == (_id(path), {Scope.PREDICT}, 9)
    assert store.identify(secret, scope=Scope.ANY) == identity


@pytest.mark.parametrize(
    "credential", [None, "", "cxr_", UNKNOWN, UNKNOWN + "A", UNKNOWN[:-1], "cxr_é", "x" * 100_000, UNKNOWN + "\n"]
)
def test_what_is_no_known_key_is_unauthenticated(store, credential):
    with pytest.raises(Unauthenticated) as raised:
        store.identify(credential, scope=Scope.PREDICT)
    assert raised.value.key_id is None
    assert raised.value.reason == Unauthenticated().reason


def test_every_changed_character_makes_another_key(store, secret):
    for at in range(len(secret)):
        other = "b" if secret[at] != "b" else "c"
        with pytest.raises(Unauthenticated):
            store.identify(secret[:at] + other + secret[at + 1 :], scope=Scope.PREDICT)


@pytest.mark.parametrize("scope", [Scope.ADMIN, Scope.AUDIT])
def test_a_scope_that_was_not_granted_is_forbidden(store, secret, scope, path):
    with pytest.raises(Forbidden) as raised:
        store.identify(secret, scope=scope)
    assert raised.value.key_id == _id(path)


def test_an_admin_key_does_not_predict(path):
    secret = create_key(path, scopes=[Scope.ADMIN])
    with pytest.raises(Forbidden):
        KeyStore.open(path).identify(secret, scope=Scope.PREDICT)


def test_an_expired_key_says_so_to_who_has_it(path, secret):
    store = KeyStore.open(path)
    short = create_key(path, scopes=[Scope.PREDICT], lifetime=timedelta(milliseconds=1))
    time.sleep(0.01)
    with pytest.raises(Unauthenticated, match="has expired") as raised:
        store.identify(short, scope=Scope.PREDICT)
    assert raised.value.key_id == _id(path, 1)


def test_the_secret_is_in_no_repr_log_or_error(store, secret, caplog):
    caplog.set_level(logging.DEBUG)
    identity = store.identify(secret, scope=Scope.PREDICT)
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    said = [repr(identity), repr(store), repr(vars(store))]
    for credential, scope in ((wrong, Scope.PREDICT), (secret, Scope.ADMIN), (secret + "x", Scope.PREDICT)):
        with pytest.raises((Unauthenticated, Forbidden)) as raised:
            store.identify(credential, scope=scope)
        said += [repr(raised.value), str(raised.value), str(raised.value.body("id")), repr(raised.value.__context__)]
    tail = secret.split("_", 2)[2][:-1]
    assert not any(tail in text for text in (*said, caplog.text))


def test_known_and_unknown_ids_take_the_same_steps(store, secret, monkeypatch):
    steps = []

    def digest_of(credential):
        steps.append(("hash", len(credential)))
        return "0" * 64

    def compare_digest(one, other):
        steps.append(("compare", len(one), len(other)))
        return False

    monkeypatch.setattr(module, "digest_of", digest_of)
    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    taken = []
    for credential in (secret, UNKNOWN):
        steps.clear()
        with pytest.raises(Unauthenticated):
            store.identify(credential, scope=Scope.PREDICT)
        taken.append(list(steps))
    assert taken[0] == taken[1] == [("hash", len(secret)), ("compare", 64, 64)]


def test_an_unknown_id_is_refused_even_where_digests_are_equal(store, monkeypatch):
    monkeypatch.setattr(hmac, "compare_digest", lambda _one, _other: True)
    with pytest.raises(Unauthenticated):
        store.identify(UNKNOWN, scope=Scope.PREDICT)


def test_changes_of_the_file_count_from_the_next_request_on(store, secret, path):
    new = create_key(path, scopes=[Scope.ADMIN])
    assert store.identify(new, scope=Scope.ADMIN).id == _id(path, 1)
    revoke_key(path, _id(path, 1))
    with pytest.raises(Unauthenticated, match="revoked"):
        store.identify(new, scope=Scope.ADMIN)
    rotated = rotate_key(path, _id(path), grace=timedelta(hours=1))
    assert store.identify(rotated, scope=Scope.PREDICT).id != store.identify(secret, scope=Scope.PREDICT).id


def test_a_rotation_without_grace_ends_the_old_key_at_once(store, secret, path):
    rotate_key(path, _id(path), grace=timedelta(0))
    with pytest.raises(Unauthenticated, match="expired"):
        store.identify(secret, scope=Scope.PREDICT)


def test_a_mounted_secret_that_is_swapped_by_its_link_is_followed(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = create_key(tmp_path / "one" / "keys.json", scopes=[Scope.PREDICT])
    second = create_key(tmp_path / "two" / "keys.json", scopes=[Scope.PREDICT])
    link = tmp_path / "current"
    link.symlink_to("one")
    store = KeyStore.open(link / "keys.json")
    store.identify(first, scope=Scope.PREDICT)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    store.identify(second, scope=Scope.PREDICT)
    with pytest.raises(Unauthenticated):
        store.identify(first, scope=Scope.PREDICT)


@pytest.mark.parametrize("breaking", ["half", "empty", "absent", "writable"])
def test_a_broken_file_keeps_the_keys_and_says_so_once(store, secret, path, caplog, breaking):
    whole = path.read_bytes()
    if breaking == "absent":
        path.unlink()
    elif breaking == "writable":
        path.chmod(0o666)
    else:
        path.write_bytes(whole[: len(whole) // 2] if breaking == "half" else b"")
    for _ in range(3):
        store.identify(secret, scope=Scope.PREDICT)
    assert [record.message for record in caplog.records] == ["the keys read before stay in use"]
    path.write_bytes(whole)
    path.chmod(0o600)
    added = create_key(path, scopes=[Scope.PREDICT])
    store.identify(added, scope=Scope.PREDICT)


def test_a_file_written_slowly_in_place_ends_up_read(store, path):
    after = create_key(path.with_name("other.json"), scopes=[Scope.PREDICT])
    content = path.with_name("other.json").read_bytes()
    with path.open("wb", buffering=0) as stream:
        for at in range(0, len(content), 37):
            stream.write(content[at : at + 37])
            with pytest.raises(Unauthenticated):
                store.identify(UNKNOWN, scope=Scope.PREDICT)
    store.identify(after, scope=Scope.PREDICT)


def test_a_change_within_one_tick_of_the_clock_is_seen(store, secret, path):
    store.identify(secret, scope=Scope.PREDICT)
    status = path.stat()
    text = path.read_text().replace(f'"{_id(path)}"', '"ffffffffffff"')
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(Unauthenticated):
        store.identify(secret, scope=Scope.PREDICT)


def test_requests_go_on_while_the_file_changes(store, secret, path):
    ended = threading.Event()

    def change():
        for _ in range(20):
            create_key(path, scopes=[Scope.PREDICT])
        ended.set()

    thread = threading.Thread(target=change)
    thread.start()
    while not ended.is_set():
        store.identify(secret, scope=Scope.PREDICT)
    thread.join()


def test_the_service_does_not_start_without_a_key_that_is_valid(path):
    with pytest.raises(ServingError, match="cxr keys create"):
        KeyStore.open(path)
    create_key(path, scopes=[Scope.PREDICT])
    revoke_key(path, _id(path))
    with pytest.raises(ServingError, match="must have a valid key"):
        KeyStore.open(path)


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({}, None),
        ({"x-api-key": "one"}, "one"),
        ({"authorization": "Bearer one"}, "one"),
        ({"authorization": "bearer  one "}, "one"),
        ({"authorization": "Basic b25l"}, None),
        ({"authorization": "one"}, None),
        ({"x-api-key": "one", "authorization": "Basic b25l"}, "one"),
        ({"x-api-key": "one", "authorization": "Bearer one"}, "one"),
        ({"x-api-key": "one", "authorization": "Bearer two"}, None),
    ],
)
def test_where_a_key_is_looked_for(headers, credential):
    assert credential_of(headers) == credential
