"""One small run for all tests of the steps after training."""

from pathlib import Path

import pytest

from support.ingestion import Source
from support.small_run import SmallRun, write_small_run


@pytest.fixture(scope="session")
def small_run(noise_studies: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Folders of a run; not to be changed."""
    return write_small_run(tmp_path_factory.mktemp("small") / "run", noise_studies)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """An empty one."""
    return Source(tmp_path / "source")
