"""When an incident begins and ends, and telling it to a webhook."""

import logging
import time
import uuid
from pathlib import Path

import httpx
import msgspec

from cxr.contracts.drift import Alert, AlertBook, Verdict
from cxr.contracts.files import read_json, write_json
from cxr.contracts.webhook import INCIDENT, SIGNATURE, TIMESTAMP, sign

logger = logging.getLogger(__name__)

_KEPT = 20
_TIMEOUT = 5.0


class AlertDesk:
    """Hysteresis over verdicts, kept on disk, so that a kill neither repeats nor loses an alert."""

    def __init__(self, path: Path, *, fire: int, clear: int) -> None:
        """Open the book at `path`, or begin it.

        Args:
            path: of the book.
            fire: windows in a row that must alarm before an incident begins.
            clear: windows in a row that must not, before it ends.
        """
        self._path, self._fire, self._clear = path, fire, clear
        self.book = read_json(path, AlertBook) if path.exists() else AlertBook()

    def note(self, verdict: Verdict, *, bundle: str, at: str) -> Alert | None:
        """Take a verdict in; returns the alert when it begins or ends an incident."""
        book = self.book
        alarms, quiet = (book.alarms + 1, 0) if verdict.alarm else (0, book.quiet + 1)
        book = msgspec.structs.replace(book, alarms=alarms, quiet=quiet)
        alert = None
        if book.incident is None and alarms >= self._fire:
            names = tuple(test.name for test in verdict.tests if test.alarm)
            alert = Alert(
                incident=uuid.uuid4().hex, event="began", time=at, bundle=bundle, films=verdict.films, tests=names
            )
        elif book.incident is not None and quiet >= self._clear:
            alert = Alert(incident=book.incident, event="ended", time=at, bundle=bundle, films=verdict.films, tests=())
        if alert is not None:
            book = msgspec.structs.replace(
                book,
                incident=alert.incident if alert.event == "began" else None,
                undelivered=(*book.undelivered, alert)[-_KEPT:],
                last=(alert, *book.last)[:_KEPT],
            )
        self._keep(book)
        return alert

    def delivered(self, alert: Alert) -> None:
        """Strike an alert off those that the webhook must still be told."""
        left = tuple(other for other in self.book.undelivered if other != alert)
        self._keep(msgspec.structs.replace(self.book, undelivered=left))

    def _keep(self, book: AlertBook) -> None:
        write_json(self._path, book)
        self.book = book


class Webhook:
    """Posts alerts as JSON, signed as `cxr.contracts.webhook` says."""

    def __init__(self, url: str, *, secret: str | None) -> None:
        self._url = url
        self._secret = None if secret is None else secret.encode()

    async def tell(self, alert: Alert) -> bool:
        """Post an alert once; whether it was taken."""
        body = msgspec.json.encode(alert)
        now = str(int(time.time()))
        headers = {"Content-Type": "application/json", TIMESTAMP: now, INCIDENT: alert.incident}
        if self._secret is not None:
            headers[SIGNATURE] = sign(self._secret, now, body)
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
                response = await client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.warning("the webhook does not answer", extra={"reason": type(error).__name__})
            return False
        if not response.is_success:
            logger.warning("the webhook refused an alert", extra={"status": response.status_code})
        return response.is_success
