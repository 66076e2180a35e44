"""The contracts of one synthetic run as fixtures."""

from pathlib import Path

import pandas as pd
import pytest

from cxr.contracts.bundle import BundleManifest
from cxr.contracts.checkpoint import History
from cxr.contracts.metrics import Calibration, LocalisationReport, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Recipe
from support.synthetic_run import SyntheticRun, synthetic_run


@pytest.fixture(scope="session")
def run() -> SyntheticRun:
    return synthetic_run()


@pytest.fixture(scope="session")
def written_run(run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folders on disk; not to be changed."""
    folder = tmp_path_factory.mktemp("run")
    run.write(folder)
    return folder


@pytest.fixture
def films(run: SyntheticRun) -> pd.DataFrame:
    return run.films


@pytest.fixture
def recipe(run: SyntheticRun) -> Recipe:
    return run.recipe


@pytest.fixture
def history(run: SyntheticRun) -> History:
    return run.history


@pytest.fixture
def metrics(run: SyntheticRun) -> MetricsReport:
    return run.metrics


@pytest.fixture
def calibration(run: SyntheticRun) -> Calibration:
    return run.calibration


@pytest.fixture
def robustness(run: SyntheticRun) -> RobustnessReport:
    return run.robustness


@pytest.fixture
def localisation(run: SyntheticRun) -> LocalisationReport:
    return run.localisation


@pytest.fixture
def manifest(run: SyntheticRun) -> BundleManifest:
    return run.manifest
