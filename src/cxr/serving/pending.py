"""The bytes that requests under way take, by whichever way they came."""

from collections.abc import Callable

from cxr.serving.problems import Overloaded


class PendingBytes:
    """Bytes of bodies and messages that requests under way have received, by whichever way."""

    def __init__(self, most: int | None = None, *, tell: Callable[[int], None] = lambda _: None) -> None:
        """Begin at none.

        Args:
            most: that there is room for; no limit when None.
            tell: told of every change.
        """
        self._most, self._tell, self._bytes = most, tell, 0

    def add(self, size: int) -> None:
        """Count bytes that have come, or, below 0, that are not held any more."""
        self._bytes += size
        self._tell(self._bytes)

    def check(self) -> None:
        """Raise `Overloaded` when there are too many."""
        if self._most is not None and self._bytes > self._most:
            raise Overloaded("too many uploads are under way", retry_after=1)
