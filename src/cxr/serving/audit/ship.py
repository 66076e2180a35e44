"""Sealed segments on their way into a bucket that lets nobody remove them, the owner of the bucket included.

A segment counts as shipped when it has been read back and found equal, and is locked for as long as it must be. Until
then it stays here. Nothing that writes records ever waits for any of this.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from cxr.adapters.object_store import ObjectStore, ObjectStoreConfig, StoredVersion, Unreachable
from cxr.contracts.files import Contract, file_digest, read_json, write_json
from cxr.errors import CxrError, SourceError
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import AuditError, AuditRecord, SegmentOpened, SegmentsRemoved
from cxr.serving.audit.segment import SegmentFile, last_record, segment_files, segment_name

logger = logging.getLogger(__name__)

COMPLIANCE = "COMPLIANCE"

_CHUNK = 1 << 20
_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_REGULAR = 3600.0
_ROUNDING = timedelta(seconds=1)
"""Stores keep the end of a lock in whole seconds."""


@dataclass(frozen=True, kw_only=True)
class Shipping:
    """Where sealed segments go.

    Attributes:
        store: that has the bucket.
        bucket: with object lock.
        prefix: of the keys; each trail has a folder of its own below it.
        retention: from a segment's sealing on.
        keep_local: for which a segment stays here after it was confirmed; None is for ever.
    """

    store: ObjectStore
    bucket: str
    prefix: str
    retention: timedelta
    keep_local: timedelta | None

    @classmethod
    def to(
        cls, address: str, environment: Mapping[str, str], *, retention: timedelta, keep_local: timedelta | None
    ) -> "Shipping":
        """Check an address and its bucket.

        A store that does not answer is no reason not to start: the check is made again before the first segment goes.

        Raises:
            AuditError: the address is malformed, there is no such bucket, it may not be used, or has no object lock.
        """
        bucket, prefix = bucket_address(address)
        try:
            store = ObjectStore(ObjectStoreConfig.from_environment(environment), connections=2, attempts=2)
            store.require_lock(bucket)
        except Unreachable as error:
            logger.warning("the bucket of the audit trail does not answer", extra={"reason": str(error)})
        except SourceError as error:
            raise AuditError(f"the bucket of the audit trail cannot be used: {error}") from error
        return cls(store=store, bucket=bucket, prefix=prefix, retention=retention, keep_local=keep_local)

    def key(self, trail: str, number: int) -> str:
        """The key of a segment."""
        return f"{self.prefix}{trail}/{segment_name(number)}"


def bucket_address(address: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://BUCKET/PREFIX`; the prefix is empty or ends with a slash.

    Raises:
        AuditError: the address is malformed.

    >>> bucket_address("s3://audit/cxr/site-1")
    ('audit', 'cxr/site-1/')
    """
    url = urlsplit(address)
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment:
        raise AuditError(f"the bucket of the audit trail must read s3://BUCKET/PREFIX, is {address!r}")
    path = url.path.strip("/")
    return url.netloc, f"{path}/" if path else ""


class Shipment(Contract, frozen=True, kw_only=True):
    """Beside a sealed segment: the bucket has it. Only a hint where not to look again; removal asks the bucket anew."""

    bucket: str
    key: str
    version: str | None
    sha256: str
    locked_until: datetime
    confirmed: datetime

    def at(self, shipping: Shipping) -> bool:
        """Whether it went to this bucket and prefix."""
        return self.bucket == shipping.bucket and self.key.startswith(shipping.prefix)


@dataclass(frozen=True, kw_only=True)
class ShippingStatus:
    """How shipping stands; see `AuditStatus`."""

    unshipped: int
    lag: float
    error: str | None


class Carrier:
    """Takes sealed segments of trails to the bucket; one at a time, by whoever calls."""

    def __init__(self, chain: Chain, shipping: Shipping) -> None:
        self._chain, self._shipping = chain, shipping

    def ship(self, files: Sequence[SegmentFile], *, shipped: Callable[[SegmentFile, bool], None]) -> list[str]:
        """Ship segments in this order; returns why some could not be.

        A segment that the bucket refuses for its content stops no other; a bucket that refuses all does.

        Args:
            files: sealed segments.
            shipped: told of each that is in the bucket and marked so, and whether it was not there before.

        Raises:
            SourceError: the bucket cannot be reached or refuses.
            OSError: a segment cannot be read, or not be marked.
        """
        failures = []
        for file in files:
            try:
                new = self._ship(file)
            except AuditError as error:
                failures.append(str(error))
            else:
                shipped(file, new)
        return failures

    def confirm(self, key: str, digest: str, until: datetime) -> StoredVersion:
        """The version of a segment that counts: the first.

        Raises:
            AuditError: the bucket does not have it, or changed, or not locked for long enough.
        """
        store, bucket = self._shipping.store, self._shipping.bucket
        place, stored = f"s3://{bucket}/{key}", self._stored(key)
        if stored is None:
            raise AuditError(f"{place} must be there after it was stored, is not; check the bucket's policies")
        with store.reading(bucket, key, stored.version) as stream:
            if _digest(stream) != digest:
                raise AuditError(
                    f"{place} must equal the segment here, has other content; find out who wrote it, and run "
                    "`cxr audit verify` on both"
                )
        lock = store.lock(bucket, key, stored.version)
        if lock is None or lock.mode != COMPLIANCE or lock.until < until - _ROUNDING:
            raise AuditError(
                f"{place} must be locked in mode {COMPLIANCE} until {until:%Y-%m-%d}, is not; check the bucket"
            )
        return stored

    def last(self, file: SegmentFile) -> AuditRecord:
        """The last record of a segment; raises `AuditError` when it is not as it was written."""
        return self._record(last_record(file.path), file)

    def _ship(self, file: SegmentFile) -> bool:
        shipping, digest = self._shipping, file_digest(file.path)
        key = shipping.key(self._trail(file), file.number)
        until = self.last(file).time + shipping.retention
        new = self._stored(key) is None
        if new:
            shipping.store.put_locked(shipping.bucket, key, file.path, until=until)
        stored = self.confirm(key, digest, until)
        write_json(
            _marker(file),
            Shipment(
                bucket=shipping.bucket,
                key=key,
                version=stored.version,
                sha256=digest,
                locked_until=until,
                confirmed=datetime.now(UTC),
            ),
        )
        return new

    def _stored(self, key: str) -> StoredVersion | None:
        """The first version of a segment; later ones do not count."""
        versions = self._shipping.store.versions(self._shipping.bucket, key)
        return next((version for version in versions if version.key == key and not version.deletion), None)

    def _trail(self, file: SegmentFile) -> str:
        with file.path.open("rb") as stream:
            event = self._record(stream.readline(), file).event
        if not isinstance(event, SegmentOpened):
            raise AuditError(f"{file.path} must begin with its opening; run `cxr audit verify {file.path.parent}`")
        return event.trail

    def _record(self, line: bytes, file: SegmentFile) -> AuditRecord:
        try:
            return self._chain.record(line)
        except Altered:
            raise AuditError(f"{file.path} must be as it was written, is not; run `cxr audit verify`") from None


class Shipper:
    """A thread that ships what is sealed, oldest first, and removes what need not stay."""

    def __init__(
        self, folder: Path, chain: Chain, shipping: Shipping, removing: Callable[[SegmentsRemoved], None]
    ) -> None:
        """Take stock of what waits.

        Args:
            folder: of the trail.
            chain: of the trail.
            shipping: where to.
            removing: records that segments are about to be removed, and raises when it cannot.
        """
        self._folder, self._shipping, self._removing = folder, shipping, removing
        self._carrier = Carrier(chain, shipping)
        self._waiting = {file.number: file for file in unshipped(folder)}
        self._sealed_at = {number: file.path.stat().st_mtime for number, file in self._waiting.items()}
        self._error: str | None = None
        self._changed = threading.Condition()
        self._closing = self._checked = False
        self._thread = threading.Thread(target=self._run, name="audit-ship", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def sealed(self, files: Sequence[SegmentFile]) -> None:
        """Take segments that were sealed just now."""
        with self._changed:
            for file in files:
                self._waiting[file.number] = file
                self._sealed_at[file.number] = time.time()
            self._changed.notify()

    def status(self) -> ShippingStatus:
        """How it stands; asks nobody."""
        with self._changed:
            waiting = [self._sealed_at[number] for number in self._waiting]
            lag = max(0.0, time.time() - min(waiting)) if waiting else 0.0
            return ShippingStatus(unshipped=len(waiting), lag=lag, error=self._error)

    def close(self, patience: float) -> None:
        """Try once more to ship what waits, for at most `patience` seconds; the rest goes after the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        pause = _PAUSE
        while True:
            last = self._closing
            done = self._round(removes=not last)
            pause = _PAUSE if done else min(pause * 2, _LONGEST_PAUSE)
            with self._changed:
                if last:
                    return
                if not self._closing and not (done and self._waiting):
                    self._changed.wait(_REGULAR if done else pause)

    def _round(self, *, removes: bool) -> bool:
        """Ship all that waits; whether that succeeded."""
        try:
            if not self._checked:
                self._shipping.store.require_lock(self._shipping.bucket)
                self._checked = True
            with self._changed:
                waiting = sorted(self._waiting.values())
            failures = self._carrier.ship(waiting, shipped=self._shipped)
            if removes and self._shipping.keep_local is not None:
                self._remove_old(self._shipping.keep_local)
        except (CxrError, OSError) as error:
            failures = [str(error)]
        failed = failures[-1] if failures else None
        if failed and failed != self._error:
            logger.error("segments of the audit trail are not shipped", extra={"reason": failed})
        self._error = failed
        return failed is None

    def _shipped(self, file: SegmentFile, _: bool) -> None:
        with self._changed:
            del self._waiting[file.number], self._sealed_at[file.number]

    def _remove_old(self, keep: timedelta) -> None:
        """Remove the oldest segments that the bucket has had for `keep`, never the last, after recording that."""
        old: list[SegmentFile] = []
        for file in segment_files(self._folder)[:-1]:
            marker = _marker(file)
            if not (file.sealed and marker.exists()):
                break
            shipment = read_json(marker, Shipment)
            if datetime.now(UTC) - shipment.confirmed < keep:
                break
            self._carrier.confirm(shipment.key, file_digest(file.path), shipment.locked_until)
            old.append(file)
        if not old:
            return
        last = self._carrier.last(old[-1])
        self._removing(SegmentsRemoved(segment=old[-1].number, sequence=last.sequence, digest=last.digest))
        for file in old:
            file.path.unlink()
            _marker(file).unlink()


def unshipped(folder: Path) -> list[SegmentFile]:
    """Sealed segments that no marker says to be in a bucket, oldest first."""
    return [file for file in segment_files(folder) if file.sealed and not _marker(file).exists()]


def shipments(folder: Path) -> list[Shipment]:
    """What the markers of the segments in a folder say.

    Raises:
        ContractError: a marker is malformed.
    """
    markers = (_marker(file) for file in segment_files(folder))
    return [read_json(marker, Shipment) for marker in markers if marker.exists()]


def _marker(file: SegmentFile) -> Path:
    return file.path.with_suffix(".shipped")


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
