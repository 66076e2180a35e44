"""What the sidecar does with events, apart from HTTP: one at a time, off the event loop, following the bundle."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from pathlib import Path

from cxr.contracts.bundle import BUNDLE_FILE
from cxr.contracts.drift import Alert, DriftReport
from cxr.contracts.events import ReceivedEvents
from cxr.drift.watched import WatchedFilms
from cxr.errors import CxrError
from cxr.sidecar.alerts import AlertDesk, Webhook
from cxr.sidecar.settings import Settings
from cxr.sidecar.watch import Watch

logger = logging.getLogger(__name__)

_FOLLOW_EVERY, _TRY_AGAIN = 2.0, 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_OUTCOMES = ("accepted", "duplicate", "malformed", "refused")

_Stamp = tuple[int, int, int]


class DriftService:
    """Takes events, tests windows, reports and alerts.

    Attributes:
        counts: of events, by outcome.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the bundle's watch; raises `CxrError` when it cannot be watched."""
        self._settings = settings
        self._seen = _stamp(settings.bundle)
        self._watch = Watch(settings)
        self._failed: tuple[_Stamp | None, float] = (None, 0.0)
        self._lock = asyncio.Lock()
        self._told = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.counts: Counter[str] = Counter(dict.fromkeys(_OUTCOMES, 0))

    def start(self) -> None:
        """Follow the bundle and deliver alerts; within a running event loop."""
        self._tasks = [asyncio.create_task(self._follow_forever(), name="follow")]
        if self._settings.webhook is not None:
            webhook = Webhook(self._settings.webhook, secret=self._settings.webhook_secret)
            self._tasks.append(asyncio.create_task(self._tell_forever(webhook), name="tell"))
        for task in self._tasks:
            task.add_done_callback(_log_end)
        self._told.set()

    @property
    def alive(self) -> bool:
        """Whether the bundle is still followed and alerts are delivered; only a new process mends that."""
        return not any(task.done() for task in self._tasks)

    async def close(self) -> None:
        """Stop; what was taken is on disk."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._lock:
            self._watch.close()

    async def take(self, received: ReceivedEvents) -> Counter[str]:
        """Take the events of one request; returns how many had which outcome.

        Events of another bundle than the one watched are refused, after a look whether the bundle has changed.

        Raises:
            OSError: the window cannot be written.
        """
        async with self._lock:
            if any(event.bundle != self._watch.bundle.digest for event in received.events):
                await self._follow()
            bundle = self._watch.bundle
            own = [event for event in received.events if event.bundle == bundle.digest]
            fitting = [event for event in own if bundle.accepts(event)]
            taken, alerts = await asyncio.to_thread(self._watch.take, fitting)
        outcomes = Counter(
            accepted=taken,
            duplicate=len(fitting) - taken,
            malformed=len(received.malformed) + len(own) - len(fitting),
            refused=len(received.events) - len(own),
        )
        self.counts.update(outcomes)
        for alert in alerts:
            logger.warning("drift incident", extra={"event": alert.event, "tests": alert.tests})
            self._told.set()
        return outcomes

    def report(self) -> DriftReport:
        """How things stand."""
        watch, book = self._watch, self._watch.desk.book
        return DriftReport(
            state=watch.state,
            bundle=watch.bundle.digest,
            films=len(watch.window.events),
            needed=self._settings.needed,
            window=self._settings.window,
            tested=watch.tested,
            verdict=watch.verdict,
            alerts=book.last,
            undelivered=len(book.undelivered) if self._settings.webhook else 0,
            events=dict(self.counts),
            measurement=watch.measurement,
        )

    def compared(self) -> tuple[WatchedFilms, WatchedFilms | None]:
        """The reference, and the window if it holds films."""
        events = self._watch.window.events
        return self._watch.bundle.detector.reference, self._watch.bundle.films(events) if events else None

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Findings and image statistics, in order."""
        return self._watch.bundle.findings, self._watch.bundle.statistics

    async def _follow_forever(self) -> None:
        while True:
            await asyncio.sleep(_FOLLOW_EVERY)
            async with self._lock:
                await self._follow()

    async def _follow(self) -> None:
        """Watch the bundle that lies in the folder now, if it is another one; the lock is held.

        One that cannot be watched, such as half a copy, is tried again after a pause.
        """
        stamp, (failed, again) = _stamp(self._settings.bundle), self._failed
        if stamp is None or stamp == self._seen or (stamp == failed and time.monotonic() < again):
            return
        try:
            watch = await asyncio.to_thread(Watch, self._settings)
        except (CxrError, OSError) as error:
            self._failed = (stamp, time.monotonic() + _TRY_AGAIN)
            logger.error("the new bundle cannot be watched", extra={"reason": str(error)})
            return
        former, self._watch, self._seen = self._watch, watch, stamp
        with contextlib.suppress(OSError):  # what it took is synced
            former.close()
        self._told.set()
        logger.info("another bundle is watched", extra={"bundle": watch.bundle.digest})

    async def _tell_forever(self, webhook: Webhook) -> None:
        """Post what the webhook was not told, again and again until it takes it."""
        pause = _FIRST_PAUSE
        while True:
            desk = self._watch.desk
            if not desk.book.undelivered:
                self._told.clear()
                await self._told.wait()
            elif await webhook.tell(alert := desk.book.undelivered[0]):
                await self._strike_off(desk, alert)
                pause = _FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _strike_off(self, desk: AlertDesk, alert: Alert) -> None:
        """Note that an alert was taken, again and again until the disk takes that; it is not posted anew meanwhile."""
        pause = _FIRST_PAUSE
        while desk is self._watch.desk:
            try:
                async with self._lock:
                    desk.delivered(alert)
                return
            except OSError as error:
                logger.error("a delivered alert cannot be noted", extra={"reason": error.strerror})
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _log_end(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the sidecar must be started anew", extra={"task": task.get_name()}, exc_info=error)


def _stamp(bundle: Path) -> _Stamp | None:
    """Changes when another manifest lies there; None while there is none."""
    try:
        found = (bundle / BUNDLE_FILE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
