"""The file of API keys: what is kept of a key, and making, replacing and ending keys.

A key reads `cxr_<id>_<43 characters>`: a public id of 48 bits, and 256 random bits in base64url. The file keeps the
SHA-256 of the whole text. A slow password hash would add nothing: it makes guessing dear where a secret can be
guessed, which 256 random bits cannot (NIST SP 800-63B asks for salt and work factor below 112 bits only).
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cxr.contracts.files import Contract
from cxr.errors import ServingError
from cxr.serving.security.private import check_unwritable, write_private

DEFAULT_RATE = 600
"""Requests a minute."""
DEFAULT_GRACE = timedelta(hours=24)


class Scope(StrEnum):
    """What a key may do; none includes another."""

    PREDICT = "predict"
    ADMIN = "admin"
    AUDIT = "audit"
    ANY = "any"
    """Asked for by what every key may do; never granted."""


class ApiKey(Contract, frozen=True, kw_only=True):
    """What is kept of a key. It has no owner and no note: who holds an id is known elsewhere, by those who need to.

    Attributes:
        id: public part, in logs and in the audit trail.
        digest: SHA-256 of the whole key, hexadecimal.
        scopes: that it grants.
        created: when.
        expires: first moment at which it is not valid any more; None is never.
        revoked: when it was; None is never.
        rate_per_minute: requests a minute.
    """

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    rate_per_minute: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = DEFAULT_RATE

    def __post_init__(self) -> None:
        if Scope.ANY in self.scopes:
            raise ValueError("a key must grant predict, admin or audit, not any")
        if any(moment.tzinfo is None for moment in (self.created, self.expires, self.revoked) if moment is not None):
            raise ValueError("times of a key must have a time zone")

    def valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class KeyFile(Contract, frozen=True, kw_only=True):
    """All keys of a service."""

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...]

    def __post_init__(self) -> None:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("ids of keys must differ")


def new_secret() -> tuple[str, str]:
    """A new key's id, and the whole key."""
    identifier = secrets.token_hex(6)
    return identifier, f"cxr_{identifier}_{secrets.token_urlsafe(32)}"


def digest_of(credential: str) -> str:
    """What is kept of a key."""
    return sha256(credential.encode()).hexdigest()


def read_keys(path: Path) -> KeyFile:
    """Read a file of keys.

    Raises:
        ServingError: the file is missing, malformed, or others than its owner can change it.
    """
    try:
        check_unwritable(path)
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except OSError as error:
        raise ServingError(
            f"{path} must be a readable file of API keys ({error.strerror}); `cxr keys create --keys {path}` makes one"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServingError(f"{path} must be a valid file of API keys: {error}; restore it from a copy") from error


def create_key(
    path: Path,
    *,
    scopes: Sequence[Scope],
    lifetime: timedelta | None = None,
    rate_per_minute: int = DEFAULT_RATE,
) -> str:
    """Add a key to the file, which is made when there is none.

    Args:
        path: file of keys.
        scopes: that it grants, at least one.
        lifetime: after which it expires; None is never.
        rate_per_minute: requests a minute.

    Returns:
        The key. It is not kept, and cannot be shown again.

    Raises:
        ServingError: the file is malformed, or an argument is out of range.
    """
    secret, key = _made(scopes, lifetime, rate_per_minute)
    with _locked(path):
        keys = read_keys(path).keys if path.exists() else ()
        _write(path, (*keys, key))
    return secret


def rotate_key(path: Path, key_id: str, *, grace: timedelta = DEFAULT_GRACE) -> str:
    """Make a key with the scopes, rate and lifetime of another, which is valid only for `grace` from now on.

    Returns:
        The new key. It is not kept, and cannot be shown again.

    Raises:
        ServingError: the file is malformed, there is no such key, or it is no longer valid.
    """
    now = datetime.now(UTC)
    with _locked(path):
        old = _found(path, key_id)
        if not old.valid(now):
            raise ServingError(f"key {key_id} must be valid to be rotated, is not; use `cxr keys create`")
        lifetime = None if old.expires is None else old.expires - old.created
        secret, new = _made(old.scopes, lifetime, old.rate_per_minute)
        end = now + grace if old.expires is None else min(old.expires, now + grace)
        _replace(path, msgspec.structs.replace(old, expires=end), add=(new,))
    return secret


def revoke_key(path: Path, key_id: str) -> None:
    """End a key at once; it stays in the file, so that its id keeps its meaning in the audit trail.

    Raises:
        ServingError: the file is malformed, or there is no such key.
    """
    with _locked(path):
        key = _found(path, key_id)
        _replace(path, msgspec.structs.replace(key, revoked=key.revoked or datetime.now(UTC)))


def list_keys(path: Path) -> tuple[ApiKey, ...]:
    """All keys of a file, oldest first, without their secrets, which are not kept.

    Raises:
        ServingError: the file is missing or malformed.
    """
    return tuple(sorted(read_keys(path).keys, key=lambda key: key.created))


def _made(scopes: Sequence[Scope], lifetime: timedelta | None, rate_per_minute: int) -> tuple[str, ApiKey]:
    now = datetime.now(UTC)
    identifier, secret = new_secret()
    values = {
        "id": identifier,
        "digest": digest_of(secret),
        "scopes": tuple(dict.fromkeys(scopes)),
        "created": now,
        "expires": None if lifetime is None else now + lifetime,
        "rate_per_minute": rate_per_minute,
    }
    try:
        return secret, msgspec.convert(values, ApiKey)
    except msgspec.ValidationError as error:
        raise ServingError(f"a key must have scopes and a rate that are allowed: {error}") from None


def _found(path: Path, key_id: str) -> ApiKey:
    for key in read_keys(path).keys:
        if key.id == key_id:
            return key
    raise ServingError(f"{path} must have the key to change, has no such id; `cxr keys list --keys {path}` shows all")


def _replace(path: Path, key: ApiKey, *, add: tuple[ApiKey, ...] = ()) -> None:
    kept = (key if other.id == key.id else other for other in read_keys(path).keys)
    _write(path, (*kept, *add))


def _write(path: Path, keys: tuple[ApiKey, ...]) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(KeyFile(keys=keys)), indent=2) + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change at a time: of two at once, one would undo the other, a revocation perhaps."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ServingError(
            f"{path} must be in a folder that can be written ({error.strerror}); change the keys where they are kept, "
            "and let the service read a copy"
        ) from error
