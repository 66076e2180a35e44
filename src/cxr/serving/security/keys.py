"""API keys: whose key a request brings."""

import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr.errors import ServingError
from cxr.serving.problems import Forbidden, Unauthenticated
from cxr.serving.security.keyfile import (
    ApiKey,
    KeyFile,
    Scope,
    create_key,
    digest_of,
    list_keys,
    read_keys,
    revoke_key,
    rotate_key,
)

__all__ = [
    "ApiKey",
    "KeyIdentity",
    "KeyStore",
    "Scope",
    "create_key",
    "credential_of",
    "list_keys",
    "revoke_key",
    "rotate_key",
]

logger = logging.getLogger(__name__)

_CREDENTIAL = re.compile(r"cxr_(?P<id>[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_SETTLED = 100_000_000
"""Nanoseconds after which a file's time stamp tells a change: clocks of file systems tick in steps of up to 10 ms."""


@dataclass(frozen=True, kw_only=True)
class KeyIdentity:
    """A key that was recognised."""

    id: str
    scopes: frozenset[Scope]
    rate_per_minute: int


def credential_of(headers: Mapping[str, str]) -> str | None:
    """The key that a request brings in `x-api-key`, or in `authorization` as a bearer token.

    Args:
        headers: of HTTP, or the metadata of a gRPC call; names in lower case.

    Returns:
        None when there is none, or when the two name different keys.
    """
    direct = headers.get("x-api-key")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    if direct is not None and bearer is not None and direct != bearer:
        return None
    return bearer if direct is None else direct


class KeyStore:
    """The keys of a file, which is read again whenever it changes.

    A key made, rotated or revoked with `cxr keys` counts from the next request on. While the file is missing or
    broken, the keys that were last read stay, and the log says so once.
    """

    def __init__(self, path: Path, keys: KeyFile) -> None:
        self._path = path
        self._keys = {key.id: key for key in keys.keys}
        self._nobody = secrets.token_hex(32)
        self._seen: tuple[int, ...] | None = ()

    @classmethod
    def open(cls, path: Path) -> "KeyStore":
        """Read the keys for the first time.

        Raises:
            ServingError: the file is missing or malformed, or has no valid key: nobody could ask anything.
        """
        keys = read_keys(path)
        if not any(key.valid(datetime.now(UTC)) for key in keys.keys):
            raise ServingError(f"{path} must have a valid key, has none; run `cxr keys create --keys {path}`")
        return cls(path, keys)

    def identify(self, credential: str | None, *, scope: Scope) -> KeyIdentity:
        """Whose key it is.

        A known and an unknown id take the same steps: one hash, one comparison in constant time.

        Args:
            credential: as the client sent it, see `credential_of`.
            scope: that the key must have; `Scope.ANY` asks for none in particular.

        Raises:
            Unauthenticated: there is no key, it is not known, or it is no longer valid.
            Forbidden: the key lacks the scope.
        """
        self._refresh()
        parsed = None if credential is None else _CREDENTIAL.fullmatch(credential)
        if credential is None or parsed is None:
            raise Unauthenticated()
        key = self._keys.get(parsed["id"])
        kept = self._nobody if key is None else key.digest
        if not hmac.compare_digest(digest_of(credential), kept) or key is None:
            raise Unauthenticated()
        if not key.valid(datetime.now(UTC)):
            state = "was revoked" if key.revoked is not None else "has expired"
            raise Unauthenticated(f"the API key {state}", key_id=key.id)
        if scope is not Scope.ANY and scope not in key.scopes:
            raise Forbidden(scope, key_id=key.id)
        return KeyIdentity(id=key.id, scopes=frozenset(key.scopes), rate_per_minute=key.rate_per_minute)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._seen and (stamp is None or abs(time.time_ns() - stamp[-1]) > _SETTLED):
            return
        first, self._seen = stamp != self._seen, stamp
        try:
            keys = read_keys(self._path)
        except ServingError as error:
            if first:
                logger.error("the keys read before stay in use", extra={"reason": str(error)})
            return
        self._keys = {key.id: key for key in keys.keys}


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with a file, its time last; None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the way of every request, three times as fast as Path.stat
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns
