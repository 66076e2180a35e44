"""One bundle being watched: its reference, its window and the verdicts on it."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cxr.contracts.bundle import BUNDLE_FILE, DRIFT_FOLDER, BundleManifest
from cxr.contracts.drift import Alert, Measurement, State, Verdict
from cxr.contracts.events import PredictionEvent
from cxr.contracts.files import file_digest, read_json
from cxr.drift.detector import Detector
from cxr.drift.reference import read_reference
from cxr.drift.watched import WatchedFilms, fits
from cxr.drift.window import DurableWindow
from cxr.errors import ContractError
from cxr.sidecar.alerts import AlertDesk
from cxr.sidecar.settings import Settings

logger = logging.getLogger(__name__)

MEASUREMENT_FILE = "measurement.json"


class WatchedBundle:
    """A bundle's reference, ready to test films against.

    Attributes:
        digest: of the bundle.
        detector: its tests.
        rehearsal: films by condition.
    """

    def __init__(self, folder: Path, *, level: float) -> None:
        """Read a bundle's manifest and drift reference; raises `ContractError` when either is malformed or changed."""
        manifest = read_json(folder / BUNDLE_FILE, BundleManifest)
        for name, digest in manifest.files.items():
            if name.startswith(f"{DRIFT_FOLDER}/") and file_digest(folder / name) != digest:
                raise ContractError(f"{folder / name} must be as {BUNDLE_FILE} lists it, is not; copy the bundle again")
        self.digest = file_digest(folder / BUNDLE_FILE)
        reference, described = read_reference(folder / DRIFT_FOLDER)
        temperature = manifest.calibration.temperature
        self.findings = described.findings
        self.statistics = described.statistics
        self._features = described.features
        self._projection = reference.projection
        self.detector = Detector(
            WatchedFilms.of_seen(reference, temperature=temperature), statistics=described.statistics, level=level
        )
        self.rehearsal: Mapping[str, WatchedFilms] = {
            condition: WatchedFilms.of_seen(seen, temperature=temperature)
            for condition, seen in reference.rehearsal.items()
        }

    def accepts(self, event: PredictionEvent) -> bool:
        """Whether an event of this bundle's digest is made as the bundle makes them."""
        return fits(event, features=self._features, findings=self.findings, statistics=len(self.statistics))

    def films(self, events: Sequence[PredictionEvent]) -> WatchedFilms:
        """Events as films to test."""
        return WatchedFilms.of_events(events, projection=self._projection, findings=self.findings)


class Watch:
    """The window of one bundle and what the tests say of it. Not to be used from two threads at a time.

    Attributes:
        bundle: that is watched.
        verdict: on the last window that was tested.
        tested: when that was, ISO 8601.
        measurement: of the tests' rates; None when it was not made for this bundle and level.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the bundle and its window, which is apart from those of other bundles.

        Raises:
            ContractError: what is read is malformed, or the bundle is not whole.
            OSError: a file cannot be read or written.
        """
        self._settings = settings
        self.bundle = WatchedBundle(settings.bundle, level=settings.level)
        folder = settings.state / self.bundle.digest[:16]
        self.desk = AlertDesk(folder / "alerts.json", fire=settings.fire, clear=settings.clear)
        self.measurement = _measurement(folder / MEASUREMENT_FILE, self.bundle)
        self.window = DurableWindow(folder, capacity=settings.window)  # last: nothing closes it when another fails
        self.verdict: Verdict | None = None
        self.tested: str | None = None
        self._fresh = 0
        if len(self.window.events) >= settings.needed:
            self._judge()

    @property
    def state(self) -> State:
        """What the tests say, see `DriftReport`."""
        if self.desk.book.incident is not None:
            return "drift"
        if self.verdict is None:
            return "collecting"
        return "suspected" if self.verdict.alarm else "steady"

    def take(self, events: Sequence[PredictionEvent]) -> tuple[int, list[Alert]]:
        """Take events of this bundle; returns how many were new, and the alerts that they raised.

        A long batch is tested on the way, as if its films had come one after the other.
        """
        stride, taken, alerts = self._settings.stride, 0, []
        for start in range(0, len(events), stride):
            new = self.window.append(events[start : start + stride])
            taken += new
            self._fresh += new
            due = self._fresh >= stride or self.verdict is None
            if new and due and len(self.window.events) >= self._settings.needed:
                verdict = self._judge()
                alert = self.desk.note(verdict, bundle=self.bundle.digest, at=str(self.tested))
                alerts += [] if alert is None else [alert]
        return taken, alerts

    def close(self) -> None:
        """Let go of the window's file."""
        self.window.close()

    def _judge(self) -> Verdict:
        self._fresh = 0
        self.verdict = self.bundle.detector.test(self.bundle.films(self.window.events))
        self.tested = datetime.now(UTC).isoformat(timespec="seconds")
        return self.verdict


def _measurement(path: Path, bundle: WatchedBundle) -> Measurement | None:
    if not path.exists():
        return None
    found = read_json(path, Measurement)
    return found if (found.bundle, found.level) == (bundle.digest, bundle.detector.level) else None
