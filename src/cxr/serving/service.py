"""The one way from the bytes of a film to an answer: read, refuse, classify, record, report.

REST, V2 over REST and V2 over gRPC all end here, so that they cannot disagree. An answer leaves only after its record
is durable in the audit trail.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
from opentelemetry import trace

from cxr.contracts.prediction import FilmPrediction
from cxr.errors import BundleError, CxrError, RejectedFilm
from cxr.imaging.preprocess import Film
from cxr.imaging.read import read_film
from cxr.serving.caller import CALLER
from cxr.serving.engine import BackendClosed, Classified, ForwardFailed, QueueFull
from cxr.serving.journal import Journal
from cxr.serving.loaded import LoadedBundle
from cxr.serving.metrics import Metrics
from cxr.serving.pending import PendingBytes
from cxr.serving.problems import Overloaded, Problem, refusal, unexpected
from cxr.serving.settings import Settings
from cxr.steps.predict import Prepared

logger = logging.getLogger(__name__)
_tracer = trace.get_tracer("cxr.serving")

_LEVELS = np.float32(255)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What is known of a film that was classified.

    Attributes:
        prediction: for the caller.
        outputs: of the network for this film: logits, embedding, maps.
        prepared: the film.
        loaded: the bundle that says so.
    """

    prediction: FilmPrediction
    outputs: Classified
    prepared: Prepared
    loaded: LoadedBundle


class Service:
    """The predictor without its transports.

    Attributes:
        settings: that it was started with.
        metrics: that it counts in.
        pending: bytes of all requests under way.
        journal: where answers, refusals and changes are recorded.
        draining: it no longer wants new requests, though it still answers them.
    """

    def __init__(self, *, settings: Settings, metrics: Metrics, journal: Journal) -> None:
        self.settings = settings
        self.metrics = metrics
        self.pending = PendingBytes(settings.max_pending_bytes, tell=metrics.pending_bytes.set)
        self.journal = journal
        self.draining = False
        self._loaded: LoadedBundle | None = None
        self._reloading = asyncio.Lock()
        self._loading: asyncio.Task[str] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        for outcome in ("loaded", "failed"):
            metrics.reloads.labels(outcome)  # Prometheus sees no increase in a value that was not there before

    @property
    def ready(self) -> bool:
        """A bundle is loaded and warm, and the process is not ending."""
        return self._loaded is not None and not self.draining

    @property
    def loaded(self) -> LoadedBundle:
        """The bundle that answers now.

        Raises:
            Problem: none is loaded yet.
        """
        if self._loaded is None:
            raise Problem(
                code="not_ready",
                status=503,
                reason="the model is still being loaded",
                what_to_do="Try again in a few seconds.",
                headers={"Retry-After": "2"},
            )
        return self._loaded

    async def load(self) -> str:
        """Load the bundle that the settings name, for the first time or again, and return its digest.

        Requests go on meanwhile with the old bundle, and those that began with it end with it. When the new bundle
        cannot be used, the old one stays. A load that has begun goes on though its caller may be gone: it may take
        longer than a request may.

        Raises:
            CxrError: the bundle cannot be used.
            Problem: the audit trail cannot be written, or loading met a defect.
        """
        await self._reloading.acquire()
        self._loading = asyncio.create_task(self._replace(), name="load a bundle")
        self._loading.add_done_callback(lambda _: self._reloading.release())
        return await asyncio.shield(self._loading)

    async def reload(self) -> str:
        """`load` for a caller over the network, or by a signal.

        Raises:
            Problem: the bundle cannot be used; the one before goes on answering.
        """
        try:
            return await self.load()
        except CxrError:
            raise Problem(
                "bundle_refused",
                409,
                "the new bundle cannot be used; the one before goes on answering",
                "Read why in the service's log, and put a whole bundle in its place.",
            ) from None

    async def close(self) -> None:
        """End: what was accepted gets its answer, then everything is let go; no bundle is loaded any more."""
        self.draining = True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})
        await asyncio.gather(*self._retiring)
        if self._loaded is not None:
            await self._loaded.retire()
        self._decoders.shutdown()
        await self.journal.close()

    async def classify(self, data: bytes, *, again: bool = False) -> Answer:
        """Classify one film.

        Args:
            data: DICOM, PNG or JPEG.
            again: the caller has its prediction and wants to know more of it: it is recorded, but neither counted nor
                shown to the drift sidecar a second time.

        Raises:
            Problem: the film is refused, or the service cannot answer now. Both are recorded.
        """
        with self.loaded.used() as loaded, self.metrics.in_flight.track_inprogress():
            with loaded.expecting():
                prepared = await self._prepare(loaded, data)
            return await self._classified(loaded, prepared, data, again=again)

    async def classify_tensor(self, films: npt.NDArray[np.float32]) -> list[Answer]:
        """Classify films that the caller has prepared as `cxr.imaging.preprocess.network_input` does.

        Args:
            films: float32 [n, S, S] in 0..1; values are taken to the nearest of the 256 grey levels.

        Raises:
            Problem: a value is out of range, a film is refused, or the service cannot answer now.
        """
        if films.min() < 0 or films.max() > 1:
            raise Problem(
                "invalid_request",
                400,
                "grey levels of input 'films' must be from 0 to 1",
                "Divide 8-bit grey levels by 255; mean and standard deviation are applied by the model.",
            )
        levels = (films * _LEVELS + np.float32(0.5)).astype(np.uint8)
        return await gathered(self._classify_prepared(film) for film in levels)

    async def prepare(self, data: bytes) -> Prepared:
        """The film as the model is given it, for display.

        Raises:
            Problem: the film is refused.
        """
        with self.loaded.used() as loaded:
            return await self._prepare(loaded, data)

    async def _replace(self) -> str:
        """Open the bundle and let it answer, or leave everything as it was and say why in the log and the trail."""
        try:
            after = await asyncio.to_thread(_opened, self.settings, self.metrics)
        except CxrError as error:
            logger.error("the bundle cannot be used", extra={"reason": str(error)})
            await self._unusable(error)
            raise
        except Exception as error:  # noqa: BLE001 - logged, and answered with a 500
            await self._unusable(error)
            caller = CALLER.get(None)
            raise unexpected(error, "" if caller is None else caller.request_id) from None
        await self._record(after)
        before, self._loaded = self._loaded, after
        self.metrics.reloads.labels("loaded").inc()
        self.metrics.bundle.clear()
        self.metrics.bundle.labels(after.bundle.digest, after.bundle.manifest.architecture).set(1)
        if before is not None:
            task = asyncio.create_task(before.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return after.bundle.digest

    async def _unusable(self, error: Exception) -> None:
        self.metrics.reloads.labels("failed").inc()
        await self.journal.model_refused(error)

    async def _record(self, after: LoadedBundle) -> None:
        """Record that a bundle is about to answer; it is let go when that cannot be recorded."""
        try:
            await self.journal.model_loaded(after.terms)
        except Problem:
            self.metrics.reloads.labels("failed").inc()
            await after.retire()
            raise

    async def _classify_prepared(self, film: Film) -> Answer:
        data = film.tobytes()
        with self.loaded.used() as loaded, self.metrics.in_flight.track_inprogress():
            try:
                unsure = loaded.interpreter.gate.check(film).unsure
            except RejectedFilm as rejected:
                raise await self._refused(rejected, loaded, data) from None
            height, width = film.shape
            prepared = Prepared(film=film, stored=film, height=height, width=width, unsure=unsure)
            return await self._classified(loaded, prepared, data)

    async def _prepare(self, loaded: LoadedBundle, data: bytes) -> Prepared:
        loop = asyncio.get_running_loop()
        try:
            with self._timed("decode"), _tracer.start_as_current_span("decode"):
                return await loop.run_in_executor(self._decoders, self._decode, loaded, data)
        except RejectedFilm as rejected:
            raise await self._refused(rejected, loaded, data) from None

    def _decode(self, loaded: LoadedBundle, data: bytes) -> Prepared:
        settings = self.settings
        reading = read_film(
            data, max_bytes=settings.max_bytes, max_pixels=settings.max_pixels, min_side=loaded.min_side
        )
        return loaded.interpreter.before(reading.pixels)

    async def _classified(
        self, loaded: LoadedBundle, prepared: Prepared, data: bytes, *, again: bool = False
    ) -> Answer:
        outputs = await self._infer(loaded, prepared.film)
        prediction = loaded.interpreter.after(
            prepared, logits=outputs.logits, embedding=outputs.embedding, maps=outputs.maps, name=""
        )
        with self._timed("audit"):
            await self.journal.predicted(loaded.terms, prediction, data)
        if not again:
            self._count(loaded, prediction)
            self.journal.observed(prediction, outputs, prepared.film)
        return Answer(prediction=prediction, outputs=outputs, prepared=prepared, loaded=loaded)

    async def _infer(self, loaded: LoadedBundle, film: Film) -> Classified:
        try:
            with _tracer.start_as_current_span("forward"):
                outputs = await loaded.batcher.infer(film)
        except QueueFull as full:
            raise Overloaded("too many films are waiting", retry_after=full.retry_after) from None
        except (ForwardFailed, BackendClosed) as failed:
            logger.error(
                "no forward pass", extra={"failure": type(failed).__name__, "cause": type(failed.__cause__).__name__}
            )
            raise Problem(
                "forward_failed",
                503,
                "the forward pass failed",
                "Send the request again; if this goes on, tell the operator.",
                {"Retry-After": "1"},
            ) from None
        self.metrics.stage_seconds.labels("queue").observe(outputs.queued)
        return outputs

    def _count(self, loaded: LoadedBundle, prediction: FilmPrediction) -> None:
        metrics = self.metrics
        metrics.predictions.labels(prediction.decision).inc()
        for reason in prediction.referred:
            metrics.referrals.labels(reason).inc()
        metrics.confidence.observe(prediction.confidence)
        metrics.distance.observe(prediction.distance / loaded.terms.distance_limit)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.metrics.stage_seconds.labels(stage).observe(time.perf_counter() - started)

    async def _refused(self, rejected: RejectedFilm, loaded: LoadedBundle, data: bytes) -> Problem:
        self.metrics.refusals.labels(rejected.code).inc()
        await self.journal.refused(loaded.terms, rejected.code, data)
        return refusal(rejected)


def _opened(settings: Settings, metrics: Metrics) -> LoadedBundle:
    """The bundle that the settings name.

    Raises:
        CxrError: it cannot be used; `BundleError` as well when a file vanishes, or is not what its name says.
    """
    try:
        return LoadedBundle(settings, metrics)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise BundleError(
            f"{settings.bundle} must be a whole bundle while it is read, reading it ended with {type(error).__name__}: "
            f"{error}; put a whole bundle in its place"
        ) from error


async def gathered(answers: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Every answer, in order; the first failure is raised once all have ended, and says which film it was."""
    results = await asyncio.gather(*answers, return_exceptions=True)
    for position, result in enumerate(results):
        if isinstance(result, Problem) and len(results) > 1:
            result.reason = f"film {position} (from 0): {result.reason}"
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Answer)]
