"""A bundle in memory: verified, warmed up, and held until the last film that began with it has its answer."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from cxr.contracts.bundle import MODEL_CARD_FILE, REPORTS_FOLDER, Bundle, read_bundle
from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.recipe import least_side
from cxr.imaging.read import MIN_SIDE
from cxr.serving.engine import Batcher, BatchTimes, open_backend, warm_up
from cxr.serving.journal import Terms
from cxr.serving.metrics import Metrics
from cxr.serving.settings import Settings
from cxr.steps.predict import Interpreter

logger = logging.getLogger(__name__)


class _Model(msgspec.Struct):
    lung_frame: int = 0


class _Recipe(msgspec.Struct):
    """What is read of a recipe, whatever else a newer version says in it."""

    model: _Model = msgspec.field(default_factory=_Model)


def read_least_side(bundle: Bundle) -> int:
    """Short side that a film must have for a bundle, pixels."""
    path = bundle.folder / REPORTS_FOLDER / RECIPE_FILE
    recipe = msgspec.json.decode(path.read_bytes(), type=_Recipe) if path.exists() else _Recipe()
    size = bundle.manifest.preprocessing.size
    return max(MIN_SIDE, least_side(size=size, lung_frame=recipe.model.lung_frame))


class LoadedBundle:
    """One bundle and everything that answers with it.

    Attributes:
        bundle: manifest, folder and digest.
        terms: that its answers are recorded with.
        interpreter: pictures to network inputs, outputs to predictions.
        batcher: the graph, shared by all requests.
        card: the model card, Markdown.
        backend_name: engine, device and precision.
        min_side: shortest side of a film, pixels, see `cxr.contracts.recipe.least_side`.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Open the bundle that `settings.bundle` names now.

        Raises:
            BundleError: it is incomplete, changed or cannot be run.
            ContractError: its drift reference or gate is malformed.
        """
        folder = settings.bundle.resolve()
        self.bundle: Bundle = read_bundle(folder)
        self.terms = Terms.of(self.bundle)
        self.interpreter = Interpreter.read(folder, manifest=self.bundle.manifest, digest=self.bundle.digest)
        self.card = (folder / MODEL_CARD_FILE).read_text(encoding="utf-8")
        self.min_side = read_least_side(self.bundle)
        backend = open_backend(settings.backend, self.bundle, threads=settings.threads)
        warm_up(backend, batch=settings.max_batch)
        self.backend_name = f"{backend.name} on {backend.device}, {backend.precision}"
        self._metrics = metrics
        self.batcher = Batcher(
            backend,
            max_batch=settings.max_batch,
            max_wait=settings.max_wait,
            max_queue=settings.max_queue,
            observe=self._observe,
        )
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        logger.info("bundle loaded", extra={"bundle": self.bundle.digest, "backend": self.backend_name})

    @contextmanager
    def used(self) -> Iterator["LoadedBundle"]:
        """Keep the bundle until the block ends."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Tell the batcher that a film is being decoded."""
        self.batcher.begin()
        try:
            yield
        finally:
            self.batcher.done()

    async def retire(self) -> None:
        """Wait for the films that began with this bundle, then free it."""
        await self._unused.wait()
        await self.batcher.close()

    def _observe(self, times: BatchTimes) -> None:
        self._metrics.batch_films.observe(times.films)
        self._metrics.stage_seconds.labels("forward").observe(times.forward)
