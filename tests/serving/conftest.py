"""A predictor that runs: the real process, with TLS and keys, on a bundle that has learned phantoms; or its service."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from cxr.serving.metrics import Metrics
from cxr.serving.opening import open_journal
from cxr.serving.service import Service
from cxr.serving.settings import Settings
from support.phantom_bundle import PhantomRun, write_phantom_run
from support.ports import free_port
from support.predictor import RunningService, enlarged, started


@pytest.fixture(scope="session")
def phantom_run(tmp_path_factory: pytest.TempPathFactory) -> PhantomRun:
    """Folders of a run on phantoms, made once for all workers; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "phantom-run"
    with (shared / "phantom-run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bundle").exists():
            write_phantom_run(folder)
    return PhantomRun(folder)


@pytest.fixture(scope="session")
def film(phantom_run: PhantomRun) -> bytes:
    """A drawn film, PNG."""
    return enlarged(phantom_run.films()[0])


@pytest.fixture(scope="session")
def service(phantom_run: PhantomRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One predictor for all tests of a worker that change nothing in it."""
    with started(phantom_run.bundle, tmp_path_factory.mktemp("service") / "state") as running:
        yield running


@pytest.fixture
def make_service(tmp_path: Path) -> Callable[..., Service]:
    """A service in this process, with no bundle loaded; it is closed by the test."""
    state = tmp_path / "state"
    state.mkdir()

    def make(**changes: object) -> Service:
        given = {"bundle": tmp_path / "bundle", "state": state, "host": "127.0.0.1", "grpc_port": free_port()}
        settings = Settings(**given | changes)
        return Service(settings=settings, metrics=Metrics(CollectorRegistry()), journal=open_journal(settings))

    return make
