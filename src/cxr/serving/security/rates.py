"""How often a key may ask."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cxr.serving.problems import RateLimited
from cxr.serving.security.keys import KeyIdentity

_SECONDS = 60.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """A token bucket for each key: it holds a minute's requests and fills evenly.

    Used from one event loop. Only keys that were recognised get a bucket, so that strangers cannot fill the memory;
    beyond `most` of them, the one that has been idle the longest is let go.
    """

    def __init__(self, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        """Limit with buckets that are full.

        Args:
            most: buckets that are kept.
            clock: seconds, never going back.
        """
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, identity: KeyIdentity) -> None:
        """Count one request of a key.

        Raises:
            RateLimited: the bucket is empty; nothing is counted then.
        """
        now, capacity = self._clock(), float(identity.rate_per_minute)
        per_second = capacity / _SECONDS
        bucket = self._buckets.pop(identity.id, None) or _Bucket(capacity, now)
        self._buckets[identity.id] = bucket
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        bucket.tokens = min(capacity, bucket.tokens + (now - bucket.at) * per_second)
        bucket.at = now
        if bucket.tokens < 1:
            raise RateLimited((1 - bucket.tokens) / per_second)
        bucket.tokens -= 1
