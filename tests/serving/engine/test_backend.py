"""The contract that every backend keeps, with ONNX Runtime's plain session as the oracle."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cxr.contracts.bundle import MODEL_FILE
from cxr.contracts.checkpoint import WEIGHTS_FILE
from cxr.errors import BundleError
from cxr.modeling.session import GraphSession
from cxr.serving.engine import BackendClosed, onnx_runtime, openvino, warm_up
from cxr.serving.engine.gpu import gpu_count
from cxr.serving.engine.onnx_runtime import ONNXRuntimeBackend
from cxr.serving.engine.openvino import OpenVINOBackend
from cxr.serving.engine.torch import TorchBackend
from support.precision import TOLERANCE

needs_gpu = pytest.mark.skipif(not gpu_count(), reason="there is no GPU")
BACKENDS = {
    "openvino": (OpenVINOBackend, {}),
    "onnxruntime": (ONNXRuntimeBackend, {}),
    "torch": (TorchBackend, {}),
    "onnxruntime-cuda": (ONNXRuntimeBackend, {"device": "cuda"}),
    "torch-cuda": (TorchBackend, {"device": "cuda"}),
}


def films(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64), dtype=np.uint8)


def rows(outputs, *, which):
    return tuple(output[which] for output in outputs)


@pytest.fixture(scope="module")
def oracle(bundle):
    return GraphSession(bundle.folder / MODEL_FILE, threads=1)


@pytest.fixture(scope="module", params=[pytest.param(n, marks=[needs_gpu] if "cuda" in n else []) for n in BACKENDS])
def opener(request):
    kind, options = BACKENDS[request.param]
    return lambda bundle: kind(bundle, threads=1, **options)


@pytest.fixture
def backend(opener, bundle):
    with closing(opener(bundle)) as backend:
        yield backend


class TestEveryBackend:
    def agree(self, backend, one, other):
        for mine, expected in zip(one, other, strict=True):
            assert mine.shape == expected.shape
            assert mine.dtype == np.float32
            scale = np.abs(expected).max()
            assert np.abs(mine - expected).max() <= TOLERANCE[backend.precision] * scale

    @pytest.mark.parametrize("count", [1, 2, 17, 60])
    def test_it_gives_what_the_graph_gives(self, backend, oracle, count):
        self.agree(backend, backend.infer(films(count), maps=True), oracle.infer(films(count), maps=True))

    def test_it_says_what_it_takes_and_gives(self, backend):
        assert (backend.side, backend.findings) == (64, 3)
        assert backend.name in ("openvino", "onnxruntime", "torch")
        assert backend.device in ("cpu", "cuda")

    def test_maps_come_only_when_asked_for(self, backend):
        assert backend.infer(films(1)).maps is None
        assert backend.infer(films(1), maps=True).maps.shape == (1, 3, 2, 2)

    def test_a_film_does_not_depend_on_its_neighbours(self, backend):
        alone = backend.infer(films(6)[4:5], maps=True)
        self.agree(backend, rows(backend.infer(films(6), maps=True), which=slice(4, 5)), alone)

    def test_results_stay_and_films_are_left_alone(self, backend):
        given = films(3)
        given.flags.writeable = False
        first = backend.infer(given, maps=True)
        kept = [output.copy() for output in first]
        backend.infer(films(3, seed=1), maps=True)
        for output, copy in zip(first, kept, strict=True):
            np.testing.assert_array_equal(output, copy)
        np.testing.assert_array_equal(given, films(3))

    def test_films_may_be_a_view(self, backend, oracle):
        view = films(8)[::2, ::-1]
        self.agree(backend, backend.infer(view, maps=True), oracle.infer(np.ascontiguousarray(view), maps=True))

    def test_threads_get_their_own_results(self, backend, oracle):
        def one(seed):
            return backend.infer(films(1 + seed % 3, seed), maps=True)

        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(one, range(30)))
        for seed, result in enumerate(results):
            self.agree(backend, result, oracle.infer(films(1 + seed % 3, seed), maps=True))

    @pytest.mark.parametrize(
        "wrong",
        [films(1).astype(np.float32), films(1)[0], films(1)[:, :, :-1], films(0)],
        ids=["float", "one", "narrow", "none"],
    )
    def test_films_of_another_kind_are_refused(self, backend, wrong):
        with pytest.raises(ValueError, match=r"films must be uint8 \[n, 64, 64\] with n ≥ 1"):
            backend.infer(wrong)

    def test_closing_ends_what_is_under_way_and_refuses_the_rest(self, opener, bundle, oracle):
        backend = opener(bundle)
        expected = oracle.infer(films(2), maps=True)

        ran = threading.Semaphore(0)

        def until_closed():
            with suppress(BackendClosed):
                while True:
                    self.agree(backend, backend.infer(films(2), maps=True), expected)
                    ran.release()

        with ThreadPoolExecutor(3) as pool:
            threads = [pool.submit(until_closed) for _ in range(3)]
            for _ in range(5):
                assert ran.acquire(timeout=30)
            backend.close()
        for thread in threads:
            thread.result()
        backend.close()
        with pytest.raises(BackendClosed, match="has been closed"):
            backend.infer(films(1))

    def test_it_warms_up(self, backend):
        warm_up(backend, batch=4)

    @pytest.mark.parametrize("content", [None, b"", b"no model"])
    def test_a_model_that_cannot_be_read_is_the_bundles_fault(self, opener, copy, content):
        for name in (MODEL_FILE, WEIGHTS_FILE):
            (copy.folder / name).unlink()
            if content is not None:
                (copy.folder / name).write_bytes(content)
        with pytest.raises(BundleError, match="must "):
            opener(copy)

    def test_a_model_with_other_findings_is_the_bundles_fault(self, opener, bundle):
        manifest = msgspec.structs.replace(bundle.manifest, findings=("Normal", "Pneumonia"))
        with pytest.raises(BundleError, match="cxr package"):
            opener(replace(bundle, manifest=manifest))


@pytest.mark.parametrize("kind", [OpenVINOBackend, ONNXRuntimeBackend])
def test_a_graph_of_another_size_is_the_bundles_fault(bundle, kind):
    preprocessing = msgspec.structs.replace(bundle.manifest.preprocessing, size=96)
    manifest = msgspec.structs.replace(bundle.manifest, preprocessing=preprocessing)
    with pytest.raises(BundleError, match="films of side 96 and give 3 logits, has side 64"):
        kind(replace(bundle, manifest=manifest))


@pytest.mark.parametrize("module", [openvino, onnx_runtime])
def test_films_too_large_to_run_together_give_the_same(bundle, oracle, monkeypatch, module):
    monkeypatch.setattr(module, "films_per_pass", lambda side: 1)
    kind = OpenVINOBackend if module is openvino else ONNXRuntimeBackend
    with closing(kind(bundle, threads=1)) as backend:
        TestEveryBackend().agree(backend, backend.infer(films(3), maps=True), oracle.infer(films(3), maps=True))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_graph_is_run_without_torch_and_without_a_word_to_the_network(bundle, name, tmp_path):
    code = f"""
import sys
from pathlib import Path
spoken = []
sys.addaudithook(lambda event, _: spoken.append(event) if event.startswith("socket.") else None)
import cxr.serving.engine as engine
assert not {{"torch", "openvino", "onnxruntime"}} & sys.modules.keys(), "an engine was imported before it was wanted"
from cxr.contracts.bundle import read_bundle
backend = engine.open_backend({name!r}, read_bundle(Path({str(bundle.folder)!r})), threads=1)
engine.warm_up(backend, batch=2)
backend.close()
assert "torch" not in sys.modules
assert not spoken, spoken
"""
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
    # what ONNX Runtime is about to report, from C++, it keeps there first
    assert not list(tmp_path.rglob("*onnxruntime*"))
