"""A predictor that runs: the real process, with TLS and keys, on a bundle that has learned phantoms."""

import fcntl
import os
from collections.abc import Iterator

import pytest

from support.phantom_bundle import PhantomRun, write_phantom_run
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
