"""What the service writes down: the audit trail, which every answer waits for, and events, which none does."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cxr import __version__
from cxr.contracts.bundle import Bundle
from cxr.contracts.files import value_digest
from cxr.contracts.prediction import FilmPrediction
from cxr.drift.statistics import image_statistics
from cxr.imaging.preprocess import Film
from cxr.serving.audit.log import AuditLog, AuditStatus
from cxr.serving.audit.record import (
    AuditError,
    AuditEvent,
    KeyUse,
    ModelChange,
    Prediction,
    Refusal,
    ServiceChange,
)
from cxr.serving.caller import CALLER
from cxr.serving.denials import Denials
from cxr.serving.engine import Classified
from cxr.serving.events import EventQueue, prediction_event
from cxr.serving.problems import Problem
from cxr.serving.security.pseudonyms import Pseudonyms

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a bundle's answers are recorded with; the same for all of them.

    Attributes:
        bundle: digest.
        preprocessing: digest.
        thresholds: of the operating points, by their key.
        refer_below: confidence under which a film is referred.
        distance_limit: above which a film is out of distribution.
    """

    bundle: str
    preprocessing: str
    thresholds: dict[str, float]
    refer_below: float
    distance_limit: float

    @classmethod
    def of(cls, bundle: Bundle) -> "Terms":
        """The terms of a bundle."""
        manifest = bundle.manifest
        return cls(
            bundle=bundle.digest,
            preprocessing=value_digest(manifest.preprocessing),
            thresholds={point.key: point.threshold for point in manifest.calibration.operating_points},
            refer_below=manifest.calibration.refer_below,
            distance_limit=manifest.out_of_distribution.limit,
        )


class Journal(Collector):
    """The trail and the events of one process; a Prometheus collector of how both stand."""

    def __init__(
        self, *, audit: AuditLog, events: EventQueue, pseudonyms: Pseudonyms, denials: Denials | None = None
    ) -> None:
        self._audit = audit
        self._events = events
        self._pseudonyms = pseudonyms
        self._denials = Denials() if denials is None else denials
        self._ending = asyncio.Event()
        self._telling: set[asyncio.Task[None]] = set()

    async def started(self) -> None:
        """Record that the process began, and start sending events."""
        await self._write(ServiceChange(action="started", version=__version__))
        self._events.start()

    async def close(self) -> None:
        """Send what can still be sent, record the end, and seal the trail."""
        await self._events.close()
        self._ending.set()
        await asyncio.gather(*self._telling)
        try:
            await self._audit.append(ServiceChange(action="stopped", version=__version__))
        except AuditError as error:
            logger.error("the end is not in the audit trail", extra={"reason": str(error)})
        await asyncio.to_thread(self._audit.close)

    async def predicted(self, terms: Terms, prediction: FilmPrediction, data: bytes) -> None:
        """Record a prediction; when this returns the record is durable.

        Raises:
            Problem: the trail cannot be written; the prediction must not leave.
        """
        caller = CALLER.get()
        await self._write(
            Prediction(
                request_id=caller.request_id,
                key_id=caller.key_id,
                protocol=caller.protocol,
                bundle=terms.bundle,
                preprocessing=terms.preprocessing,
                input_hmac=self._pseudonyms.of_input(data),
                thresholds=terms.thresholds,
                refer_below=terms.refer_below,
                distance_limit=terms.distance_limit,
                probabilities=prediction.probabilities,
                decision=prediction.decision,
                confidence=prediction.confidence,
                distance=prediction.distance,
                referred=prediction.referred,
                prediction_set=prediction.prediction_set,
            )
        )

    async def refused(self, terms: Terms, code: str, data: bytes) -> None:
        """Record a refusal.

        Raises:
            Problem: the trail cannot be written.
        """
        caller = CALLER.get()
        await self._write(
            Refusal(
                request_id=caller.request_id,
                key_id=caller.key_id,
                protocol=caller.protocol,
                bundle=terms.bundle,
                preprocessing=terms.preprocessing,
                input_hmac=self._pseudonyms.of_input(data),
                code=code,
            )
        )

    async def denied(self, code: str, *, key_id: str | None, scope: str, request_id: str) -> None:
        """Record a denied request; of a flood only what `Denials` lets through, and the number of the others."""
        if self._denials.take(key_id):
            await self._write(KeyUse(request_id=request_id, key_id=key_id, outcome=code, scope=scope))
        elif self._denials.untold == 1:
            logger.warning("more requests are denied than the audit trail takes in a minute; see cxr_requests_total")
            task = asyncio.create_task(self._tell_omitted(), name="omitted denials")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def key_used(self, scope: str, *, key_id: str, request_id: str) -> None:
        """Record the use of a key for more than predictions."""
        await self._write(KeyUse(request_id=request_id, key_id=key_id, outcome="admitted", scope=scope))

    async def model_loaded(self, terms: Terms) -> None:
        """Record that a bundle is about to answer."""
        caller = CALLER.get(None)
        await self._write(
            ModelChange(
                action="loaded",
                bundle=terms.bundle,
                preprocessing=terms.preprocessing,
                thresholds=terms.thresholds,
                request_id=caller.request_id if caller else None,
                key_id=caller.key_id if caller else None,
            )
        )

    async def model_refused(self, error: Exception) -> None:
        """Record that a bundle could not be used."""
        caller = CALLER.get(None)
        await self._write(
            ModelChange(
                action="refused",
                code=type(error).__name__,
                request_id=caller.request_id if caller else None,
                key_id=caller.key_id if caller else None,
            )
        )

    def observed(self, prediction: FilmPrediction, outputs: Classified, film: Film) -> None:
        """Offer a prediction to the drift sidecar; never waits and never fails."""
        if self._events.enabled:
            self._events.offer(
                prediction_event(
                    prediction,
                    request_id=CALLER.get().request_id,
                    embedding=outputs.embedding,
                    statistics=image_statistics(film),
                )
            )

    def audit_status(self) -> AuditStatus:
        """How the trail stands."""
        return self._audit.status()

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        status, counts = self._audit.status(), self._events.counts
        yield CounterMetricFamily("cxr_audit_records", "Durable records of this process", value=status.records)
        yield GaugeMetricFamily(
            "cxr_audit_failing", "1 while nothing can be written", float(bool(status.failing_since))
        )
        yield GaugeMetricFamily("cxr_audit_unshipped_segments", "Sealed and not in the bucket yet", status.unshipped)
        yield GaugeMetricFamily("cxr_audit_lag_seconds", "Age of the oldest segment not in the bucket", status.lag)
        events = CounterMetricFamily("cxr_drift_events", "Prediction events", labels=["outcome"])
        for outcome, count in msgspec.structs.asdict(counts).items():
            events.add_metric([outcome], count)
        yield events

    async def _tell_omitted(self) -> None:
        """Record, when the minute or the process ends, how many denials got no record."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._denials.ends_in()):
                await self._ending.wait()
        for event in self._denials.omitted():
            with suppress(Problem):  # it is in the log
                await self._write(event)

    async def _write(self, event: AuditEvent) -> None:
        try:
            await self._audit.append(event)
        except AuditError as error:
            logger.error("the audit trail cannot be written", extra={"reason": str(error)})
            raise Problem(
                "audit_unavailable",
                503,
                "the audit trail cannot be written, and nothing is answered without it",
                "Tell the operator; nothing of this request is kept.",
                {"Retry-After": "10"},
            ) from None
