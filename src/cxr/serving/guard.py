"""Who may ask, how often, and the record of those who may not."""

from collections.abc import Mapping

from cxr.serving.journal import Journal
from cxr.serving.problems import Problem
from cxr.serving.security.keys import KeyIdentity, KeyStore, Scope, credential_of
from cxr.serving.security.rates import RateLimiter


class Guard:
    """Keys and rates for REST and gRPC alike."""

    def __init__(self, keys: KeyStore | None, journal: Journal) -> None:
        """Guard with a store of keys; None answers everybody, which only development does."""
        self._keys = keys
        self._rates = RateLimiter()
        self._journal = journal

    async def admit(self, headers: Mapping[str, str], *, scope: Scope, request_id: str) -> str | None:
        """The id of the key that a request brings.

        Args:
            headers: of HTTP, or the metadata of gRPC; names in lower case.
            scope: that the request needs.
            request_id: for the record.

        Raises:
            Problem: 401 without a known key, 403 without the scope, 429 above the key's rate.
        """
        if self._keys is None:
            return None
        identity: KeyIdentity | None = None
        try:
            identity = self._keys.identify(credential_of(headers), scope=scope)
            self._rates.take(identity)
        except Problem as problem:
            key_id = identity.id if identity else getattr(problem, "key_id", None)
            await self._journal.denied(problem.code, key_id=key_id, scope=scope, request_id=request_id)
            raise
        if scope in (Scope.ADMIN, Scope.AUDIT):
            await self._journal.key_used(scope, key_id=identity.id, request_id=request_id)
        return identity.id
