"""Sealed segments to a bucket that lets nobody remove them, the owner of the bucket included.

A segment counts as shipped when it has been read back and found equal, and is locked for as long as it must be.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from cxr.adapters.object_store import ObjectStore, ObjectStoreConfig, StoredVersion, Unreachable
from cxr.contracts.files import Contract, file_digest, read_json, write_json
from cxr.errors import SourceError
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import AuditError, AuditRecord, SegmentOpened
from cxr.serving.audit.segment import SegmentFile, last_record, segment_files, segment_name

logger = logging.getLogger(__name__)

COMPLIANCE = "COMPLIANCE"

_CHUNK = 1 << 20
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
            marker(file),
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


def unshipped(folder: Path) -> list[SegmentFile]:
    """Sealed segments that no marker says to be in a bucket, oldest first."""
    return [file for file in segment_files(folder) if file.sealed and not marker(file).exists()]


def shipments(folder: Path) -> list[Shipment]:
    """What the markers of the segments in a folder say.

    Raises:
        ContractError: a marker is malformed.
    """
    markers = map(marker, segment_files(folder))
    return [read_json(path, Shipment) for path in markers if path.exists()]


def marker(file: SegmentFile) -> Path:
    """The file beside a sealed segment that says that a bucket has it: a `Shipment`."""
    return file.path.with_suffix(".shipped")


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
