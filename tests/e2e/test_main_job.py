"""The main job as its user starts it, on the embedded defaults. `make test-e2e`."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from cxr.contracts.bundle import read_bundle
from cxr.contracts.files import read_json
from cxr.contracts.metrics import LocalisationReport, MetricsReport
from cxr.contracts.registration import Registration
from cxr.contracts.search_report import SearchReport

ROOT = Path(__file__).parents[2]

# as its user's shell has it: the other tests run on one thread each
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    start = time.monotonic()
    done = subprocess.run(
        ["make", "--no-print-directory", "run", f"ARGS=--run-dir {folder}"],
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    print(f"\n{done.stdout}\nmake run took {time.monotonic() - start:.0f} s")  # noqa: T201 - the log of CI shows it
    return folder, done.stdout


def test_the_classifier_is_good_on_phantoms_it_never_saw(run):
    metrics = read_json(run[0] / "metrics" / "metrics.json", MetricsReport)
    assert metrics.split == "test"
    assert metrics.overall["macro_auroc"].value >= 0.95


def test_it_looks_at_the_lesions(run):
    localisation = read_json(run[0] / "explanation" / "localisation.json", LocalisationReport)
    assert localisation.pointing_game.value >= 0.7
    assert localisation.analytic_cosine > 0.999


def test_at_least_three_trials_were_searched(run):
    assert len(read_json(run[0] / "search" / "search.json", SearchReport).trials) >= 3


def test_the_report_and_the_bundle_are_whole(run):
    assert (run[0] / "report.html").stat().st_size > 100_000
    assert (run[0] / "TECHNICAL_REPORT.md").exists()
    assert (
        read_bundle(run[0] / "bundle").digest
        == read_json(run[0] / "registration" / "registration.json", Registration).bundle
    )


def test_the_next_command_is_printed_and_works(run):
    assert "cxr predict --bundle" in run[1]
    film = next((run[0] / "studies" / "images").glob("*.png"))
    answer = subprocess.run(
        [ROOT / ".venv/bin/cxr", "--quiet", "predict", "--bundle", run[0] / "bundle", film],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert '"probabilities"' in answer.stdout


def test_the_same_command_again_takes_everything_from_the_cache(run):
    again = run[0].parent / "again"
    done = subprocess.run(
        ["make", "--no-print-directory", "run", f"ARGS=--run-dir {again}"],
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("cached") >= 8
    assert read_bundle(again / "bundle").digest == read_bundle(run[0] / "bundle").digest
