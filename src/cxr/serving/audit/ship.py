"""The thread that ships what a service seals, and removes what the bucket has had for long enough.

A segment stays here until it is shipped. Nothing that writes records ever waits for any of this.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxr.contracts.files import file_digest, read_json
from cxr.errors import CxrError
from cxr.serving.audit.carry import Carrier, Shipment, Shipping, marker, unshipped
from cxr.serving.audit.chain import Chain
from cxr.serving.audit.record import SegmentsRemoved
from cxr.serving.audit.segment import SegmentFile, segment_files

logger = logging.getLogger(__name__)

_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_REGULAR = 3600.0


@dataclass(frozen=True, kw_only=True)
class ShippingStatus:
    """How shipping stands; see `AuditStatus`."""

    unshipped: int
    lag: float
    error: str | None


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
            if not (file.sealed and marker(file).exists()):
                break
            shipment = read_json(marker(file), Shipment)
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
            marker(file).unlink()
