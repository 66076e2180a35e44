"""Fixtures shared by all tests."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from support.studies import write_noise_studies

settings.register_profile("untimed", settings(), deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real films, or a skip."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real films are not beside the checkout")
    return REAL_DATA


@pytest.fixture(scope="session")
def noise_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A studies folder with a split index: 72 films of 40 px in three classes."""
    folder = tmp_path_factory.mktemp("noise") / "studies"
    write_noise_studies(folder, films=72)
    return folder
