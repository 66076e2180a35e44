"""The predictor's image lacks what trains: neither importing the service nor opening a bundle may ask for it."""

import subprocess
import sys

import pytest

from support.phantom_bundle import PhantomRun

PROGRAM = """
import asyncio, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())

from pathlib import Path
import cxr.serving.opening
import cxr.serving.server
from cxr.imaging.read import read_film
from cxr.serving.loaded import LoadedBundle
from cxr.serving.metrics import Metrics
from cxr.serving.settings import Settings

async def main():
    settings = Settings(bundle=Path(sys.argv[1]), state=Path(sys.argv[2]), threads=1, backend=sys.argv[3])
    loaded = LoadedBundle(settings, Metrics())
    loaded.interpreter.before(read_film(Path(sys.argv[4])).pixels)
    print(loaded.backend_name)
    await loaded.retire()

asyncio.run(main())
"""
ABSENT = ("torch", "torchvision", "mlflow", "kfp", "sklearn", "pyarrow", "optuna", "scipy", "captum", "safetensors",
          "matplotlib", "onnx", "jinja2", "rich", "boto3")  # fmt: skip


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_bundle_is_opened_without_what_trains(phantom_run: PhantomRun, film: bytes, tmp_path, backend):
    picture = tmp_path / "film.png"
    picture.write_bytes(film)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(absent=set(ABSENT)), phantom_run.bundle, tmp_path, backend, picture],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith(backend)
