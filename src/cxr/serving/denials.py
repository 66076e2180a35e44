"""Which denied requests get a record each.

All of a flood would fill the disk; a fixed number of all would hide behind the flood what the holder of a key tried.
"""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from cxr.serving.audit.record import DenialsOmitted

_SECONDS = 60.0


class Denials:
    """A budget of records a minute for each key, and one for all requests whose key is not known.

    Used from one event loop. A key gets its own budget since its secret was right, so that strangers can neither use
    that up nor fill the memory.

    Attributes:
        untold: denials without a record since `omitted` was last asked.
    """

    def __init__(self, *, most: int = 120, most_keys: int = 1000, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with full budgets.

        Args:
            most: records of a budget.
            most_keys: budgets that are kept in a minute; further keys share that of the strangers.
            clock: seconds, never going back.
        """
        self._most = most
        self._most_keys = most_keys
        self._clock = clock
        self._since = clock()
        self._denied: Counter[str | None] = Counter()
        self._omitted: dict[str | None, DenialsOmitted] = {}
        self.untold = 0

    def take(self, key_id: str | None) -> bool:
        """Count a denial; whether it gets a record."""
        now = self._clock()
        if now - self._since > _SECONDS:
            self._denied.clear()
            self._since = now
        holder = key_id if key_id in self._denied or len(self._denied) < self._most_keys else None
        self._denied[holder] += 1
        if self._denied[holder] <= self._most:
            return True
        known = self._omitted.get(holder) or DenialsOmitted(key_id=holder, since=datetime.now(UTC), omitted=0)
        self._omitted[holder] = msgspec.structs.replace(known, omitted=known.omitted + 1)
        self.untold += 1
        return False

    def ends_in(self) -> float:
        """Seconds until the budgets are full again."""
        return max(0.0, self._since + _SECONDS - self._clock())

    def omitted(self) -> list[DenialsOmitted]:
        """What is to be recorded of the denials that got no record; it is told once."""
        told = list(self._omitted.values())
        self._omitted.clear()
        self.untold = 0
        return told
