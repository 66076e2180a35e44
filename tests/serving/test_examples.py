"""The examples of the README, as their readers run them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kept(service, film, tmp_path):
    """The client's files as `make serve` leaves them, and a film."""
    (tmp_path / "film.png").write_bytes(film)
    (tmp_path / "client.key").write_text(service.keys["predict"] + "\n")
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_bytes(service.ca.read_bytes())
    return tmp_path


@pytest.mark.parametrize("by", ["rest", "v2", "grpc"])
def test_python(service, kept, by):
    command = [sys.executable, "examples/predict.py", kept / "film.png", "--by", by, "--url", service.url,
               "--grpc-address", service.grpc]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CXR_STATE": str(kept)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "probabilities" in answer
    assert "decision" in answer


def test_curl(service, kept):
    environment = {**os.environ, "CXR_STATE": str(kept), "CXR_URL": service.url}
    done = subprocess.run(
        ["examples/predict.sh", kept / "film.png"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    upload, v2 = map(json.loads, done.stdout.splitlines())
    assert upload["outcome"] == "classified"
    assert v2["outputs"][0]["name"] == "probabilities"
