"""The audit trail as the service writes it: an answer leaves when its record is on the disk, not before.

One thread writes. It takes all events that wait, writes them at once and syncs once, so that the cost of the disk is
shared by everybody who waits for it.

What shows that the end of a trail was cut off, which the chain alone cannot:

- *The seal.* A segment ends with a record that counts it. Nothing can be taken off a sealed segment unseen; the
  segment being written has no seal yet.
- *The head file*, beside the segments, synced on its own at most a second after each record. It finds a segment that
  was cut short or rolled back alone, by accident or by hand. It does not find that somebody put back an older copy of
  the whole folder, head file included, nor the loss of the last second.
- *The bucket.* Sealed segments under object lock cannot be replaced by anybody for years: `verify` compares with them
  and so finds an older copy of the folder, up to the last segment that was shipped (`max_age` old, at most).
- *A head kept elsewhere*, as `cxr audit head` and `GET /audit/head` give it: finds whatever is missing or replaced up
  to that head, by whomever, the holder of the key included.

Records that were written after the last of these and before somebody with the disk in hands cut them off leave no
trace here; only those who received the answers know of them.
"""

import asyncio
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from cxr.serving.audit.carry import Shipping
from cxr.serving.audit.chain import Chain
from cxr.serving.audit.record import AuditError, AuditEvent, Head, SegmentsRemoved, checked
from cxr.serving.audit.segment import LOCK_FILE
from cxr.serving.audit.ship import Shipper
from cxr.serving.audit.trail import Trail

logger = logging.getLogger(__name__)

_LOCK_PATIENCE = 0.5
_SHIP_PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class AuditStatus:
    """How the trail stands.

    Attributes:
        head: of what is durable; its sequence is 0 before the first record.
        segment: number of the segment being written, or of the last one.
        records: durable in this process so far.
        failing_since: since when nothing can be written; None while all is well.
        shipping: a bucket is set.
        unshipped: sealed segments that the bucket has not confirmed.
        lag: age of the oldest of them, seconds; 0 when there is none.
        shipping_error: why the last attempt failed; None when it did not.
    """

    head: Head
    segment: int
    records: int
    failing_since: datetime | None
    shipping: bool
    unshipped: int
    lag: float
    shipping_error: str | None


def now() -> datetime:
    """By this machine's clock, aware."""
    return datetime.now(UTC)


class AuditLog:
    """One trail in one folder, written by one process. Made by `AuditLog.open`."""

    def __init__(self, trail: Trail, lock: IO[bytes], shipping: Shipping | None) -> None:
        self._trail, self._lock = trail, lock
        self._waiting: deque[tuple[bytes, Future[int]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._shipper = None if shipping is None else Shipper(trail.folder, trail.chain, shipping, self._removed)
        self._writer = threading.Thread(target=self._write, name="audit", daemon=True)
        self._writer.start()
        if self._shipper is not None:
            self._shipper.start()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        key: bytes,
        bucket: str | None = None,
        retention: timedelta = timedelta(days=2557),
        keep_local: timedelta | None = None,
        max_bytes: int = 16 * 2**20,
        max_age: timedelta = timedelta(minutes=15),
        clock: Callable[[], datetime] = now,
        environment: Mapping[str, str] = os.environ,
    ) -> "AuditLog":
        """Open or begin the trail in `folder`, and record what a kill or a hand has done to its end.

        Args:
            folder: made when absent; nobody else's.
            key: secret of the chain, at least 32 bytes; the same for the whole life of the trail.
            bucket: `s3://BUCKET/PREFIX` with object lock, to which sealed segments go; None keeps them here.
            retention: for which the bucket must keep a segment, from its sealing on.
            keep_local: for which a segment stays here after the bucket has confirmed it; None is for ever.
            max_bytes: after which a segment is sealed.
            max_age: likewise.
            clock: for the times in records, aware; may step back.
            environment: variables that say how to reach the bucket, see `ObjectStoreConfig.from_environment`.

        Raises:
            AuditError: another process has the trail, the key is another one, the folder cannot be written, or the
                bucket has no object lock.
        """
        shipping = None
        if bucket is not None:
            shipping = Shipping.to(bucket, environment, retention=retention, keep_local=keep_local)
        chain = Chain(key)
        lock = locked(folder)
        try:
            with usable(folder):
                trail = Trail(folder, chain, max_bytes=max_bytes, max_age=max_age, clock=clock)
                return cls(trail, lock, shipping)
        except BaseException:
            lock.close()
            raise

    async def append(self, event: AuditEvent) -> int:
        """Record an event; returns its sequence once it is durable.

        When the caller is cancelled meanwhile, the record is written all the same.

        Raises:
            AuditError: it was not recorded, and what it is about must not happen: the disk is full or fails, the event
                breaks its contract, or the trail is closed.
        """
        return await asyncio.wrap_future(self._submit(event))

    def append_now(self, event: AuditEvent) -> int:
        """`append` for a caller without an event loop."""
        return self._submit(event).result()

    def status(self) -> AuditStatus:
        """How the trail stands; asks neither disk nor bucket."""
        trail, shipped = self._trail, None if self._shipper is None else self._shipper.status()
        return AuditStatus(
            head=trail.head,
            segment=trail.segment,
            records=trail.written,
            failing_since=trail.failing_since,
            shipping=shipped is not None,
            unshipped=shipped.unshipped if shipped else 0,
            lag=shipped.lag if shipped else 0.0,
            shipping_error=shipped.error if shipped else None,
        )

    def close(self) -> None:
        """Write what waits, seal the segment, give its shipping a few seconds, and let go of the folder."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join()
        if self._shipper is not None:
            self._shipper.close(_SHIP_PATIENCE)
        self._lock.close()

    def _submit(self, event: AuditEvent) -> "Future[int]":
        data = checked(event)
        done: Future[int] = Future()
        with self._changed:
            if self._closing:
                raise AuditError("the audit trail must be open to record an event, is closed; nothing was recorded")
            self._waiting.append((data, done))
            self._changed.notify()
        return done

    def _removed(self, event: SegmentsRemoved) -> None:
        self.append_now(event)

    def _write(self) -> None:
        """Body of the writing thread."""
        while True:
            with self._changed:
                if not (self._waiting or self._closing):
                    self._changed.wait(self._trail.due_in())
                batch = list(self._waiting)
                self._waiting.clear()
                ending = self._closing and not batch
            if batch:
                self._commit(batch)
            sealed = self._trail.maintain(ending=ending)
            if sealed and self._shipper is not None:
                self._shipper.sealed(sealed)
            if ending:
                self._trail.close()
                return

    def _commit(self, batch: list[tuple[bytes, "Future[int]"]]) -> None:
        waiting = [done for _, done in batch]
        try:
            first = self._trail.append([data for data, _ in batch])
        except OSError as error:
            failure = f"the audit trail must be writable: {error.strerror}; nothing was recorded"
            for done in waiting:
                with suppress(InvalidStateError):
                    done.set_exception(AuditError(failure))
            return
        for sequence, done in enumerate(waiting, first):
            with suppress(InvalidStateError):
                done.set_result(sequence)


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Raises `AuditError` where the disk fails."""
    try:
        yield
    except OSError as error:
        raise AuditError(f"the audit trail in {folder} must be readable and writable: {error.strerror}") from error


def locked(folder: Path) -> IO[bytes]:
    """The lock of the folder, which is made when absent, held until the file is closed or the process ends.

    Raises:
        AuditError: another process has it, or the folder cannot be written.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE  # `verify` holds it for an instant, a process that ends for longer
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = (folder / LOCK_FILE).open("ab")
    except OSError as error:
        raise AuditError(f"{folder} must be a folder that can be written: {error.strerror}") from error
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise AuditError(
                    f"{folder} must be written by one process, another one has it open; stop that, or give this one a "
                    "folder of its own"
                ) from None
            time.sleep(0.02)
        except OSError as error:
            lock.close()
            raise AuditError(f"{folder} must be on a file system that has locks: {error.strerror}") from error
        else:
            return lock
