"""The trail on the disk, as one thread writes it: records into segments, segments sealed, the head kept."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.record import FORMAT, Head, Interrupted, SegmentOpened, SegmentSealed, checked
from cxr.serving.audit.recover import find_end
from cxr.serving.audit.segment import SegmentFile, SegmentWriter, write_head

logger = logging.getLogger(__name__)

HEAD_SECONDS = 1.0
"""At most this long after a record, the head file knows of it."""

_IDLE = 3600.0
_RETRY = 1.0


@dataclass(kw_only=True)
class _Outage:
    since: datetime
    refused: int = 0
    errno: int = 0


class _Due(NamedTuple):
    seal: float
    head: float


class Trail:
    """Appends records and keeps the folder in order. Not for several threads, but for its attributes.

    Attributes:
        folder: of the segments.
        chain: that binds the records.
        head: of what is durable.
        segment: number of the segment being written, or of the last one.
        written: records made durable by this object.
    """

    def __init__(
        self, folder: Path, chain: Chain, *, max_bytes: int, max_age: timedelta, clock: Callable[[], datetime]
    ) -> None:
        """Open the trail, and record first what is wrong with its end.

        Raises:
            AuditError: the trail was written under another key or by another version.
            OSError: the folder cannot be read or written.
        """
        self.folder, self.chain = folder, chain
        self._max_bytes, self._max_age, self._clock = max_bytes, max_age.total_seconds(), clock
        end = find_end(folder, chain)
        self.head, self.segment, self.written = end.head, end.segment, 0
        self._outage: _Outage | None = None
        self._began = time.monotonic()
        self._open: SegmentWriter | None = None
        self._sealed: list[SegmentFile] = []
        self._kept: Head | None = None
        self._kept_at = self._retry_at = -_RETRY
        if end.unsealed:
            self._open = SegmentWriter(folder, end.segment, size=end.size, records=end.records)
        if end.findings:
            logger.warning("the audit trail did not end as it should; see its `recovered` records")
            self.append([checked(finding) for finding in end.findings])
        self._keep_head()

    @property
    def failing_since(self) -> datetime | None:
        """Since when nothing can be written."""
        return None if self._outage is None else self._outage.since

    def append(self, events: Sequence[bytes]) -> int:
        """Make records of events, as `checked` gives them, and return the sequence of the first when all are durable.

        Raises:
            OSError: none of them is recorded.
        """
        outage = self._outage
        before = []
        if outage is not None:
            before = [checked(Interrupted(since=outage.since, refused=outage.refused, errno=outage.errno))]
        try:
            first = self._append([*before, *events])
        except OSError as error:
            if outage is None:
                logger.error("the audit trail cannot be written", extra={"reason": error.strerror})
                self._outage = outage = _Outage(since=self._clock())
            outage.refused += len(events)
            outage.errno = error.errno or 0
            raise
        if outage is not None:
            logger.warning("the audit trail can be written again", extra={"refused": outage.refused})
            self._outage = None
        return first + len(before)

    @property
    def unsealed(self) -> bool:
        """There are records in a segment that is not sealed."""
        return self._open is not None and self._open.records > 0

    def maintain(self, *, ending: bool = False) -> list[SegmentFile]:
        """Do what is due: seal a segment that is old or large, keep the head. What fails is logged, and due again.

        Args:
            ending: seal the segment and keep the head in any case.

        Returns:
            The segments that were sealed since the last call, here or before a record.
        """
        due = self._due()
        now = time.monotonic()
        try:
            if self._open is not None and (now >= due.seal or (ending and self._open.records)):
                self._seal()
            if self.head != self._kept and (ending or now >= due.head):
                self._keep_head()
        except OSError as error:
            self._retry_at = now + _RETRY
            logger.error("the audit trail cannot be kept in order", extra={"reason": error.strerror})
        sealed, self._sealed = self._sealed, []
        return sealed

    def due_in(self) -> float:
        """Seconds until `maintain` has something to do."""
        due = self._due()
        return max(0.0, min(due.seal, due.head) - time.monotonic())

    def close(self) -> None:
        """Let go of the segment."""
        if self._open is not None:
            self._open.close()

    def _append(self, events: Sequence[bytes]) -> int:
        if self._open is not None and self._open.sealed:
            self._seal()
        if self._open is None:
            self._open = SegmentWriter(self.folder, self.segment + 1)
            self._began = time.monotonic()
        segment, opening = self._open, []
        if not segment.records:
            trail, key = self.head.trail, self.chain.fingerprint
            opening = [checked(SegmentOpened(format=FORMAT, trail=trail, segment=segment.number, key=key))]
        first = self.head.sequence + 1 + len(opening)
        self._put(segment, [*opening, *events])
        return first

    def _put(self, segment: SegmentWriter, events: Sequence[bytes]) -> None:
        sequence, previous, lines = self.head.sequence, self.head.digest, []
        moment = self._clock()
        for event in events:
            sequence += 1
            line, previous = self.chain.line(sequence=sequence, time=moment, previous=previous, event=event)
            lines.append(line)
        segment.append(b"".join(lines), records=len(lines))
        self.head = Head(trail=self.head.trail, sequence=sequence, digest=previous)
        self.segment = segment.number
        self.written += len(lines)

    def _seal(self) -> None:
        segment = self._open
        assert segment is not None  # noqa: S101 - for the type checker
        if not segment.sealed:
            self._put(segment, [checked(SegmentSealed(segment=segment.number, records=segment.records + 1))])
            segment.sealed = True
        self._sealed.append(SegmentFile(segment.number, segment.finish()))
        self._open = None

    def _keep_head(self) -> None:
        self._kept_at = time.monotonic()
        write_head(self.folder, self.chain, self.head)
        self._kept = self.head

    def _due(self) -> "_Due":
        """When the segment is to be sealed, and when the head is to be kept."""
        seal = head = time.monotonic() + _IDLE
        if self._open is not None and self._open.records:
            full = self._open.sealed or self._open.size >= self._max_bytes
            seal = max(self._retry_at, 0.0 if full else self._began + self._max_age)
        if self.head != self._kept:
            head = max(self._retry_at, self._kept_at + HEAD_SECONDS)
        return _Due(seal, head)
