import logging
import sys

import pytest

from cxr.contracts.bundle import MODEL_FILE
from cxr.errors import BundleError, ServingError
from cxr.serving.engine import choose, open_backend
from cxr.serving.engine.gpu import gpu_count

without_gpu = pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU")


def opened(name, bundle):
    backend = open_backend(name, bundle, threads=1)
    backend.close()
    return backend.name, backend.device


@without_gpu
@pytest.mark.parametrize(
    ("name", "engine"),
    [("auto", "openvino"), ("openvino", "openvino"), ("onnxruntime", "onnxruntime"), ("torch", "torch")],
)
def test_a_backend_opens_by_name(bundle, name, engine):
    assert opened(name, bundle) == (engine, "cpu")


@without_gpu
def test_auto_goes_on_to_what_is_installed(bundle, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with caplog.at_level(logging.WARNING):
        assert opened("auto", bundle) == ("onnxruntime", "cpu")
    assert "OpenVINO must be installed" in caplog.records[0].reason


@without_gpu
@pytest.mark.parametrize(
    ("name", "missing"), [("auto", ("openvino", "onnxruntime")), ("openvino", ("openvino",)), ("torch", ("torch",))]
)
def test_a_machine_without_the_backend_is_told_why(bundle, monkeypatch, name, missing):
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ServingError, match="must be installed"):
        open_backend(name, bundle)


@without_gpu
@pytest.mark.parametrize(("name", "engine"), [("auto", "openvino"), ("onnxruntime", "onnxruntime"), ("torch", "torch")])
def test_a_gpu_that_no_engine_can_use_leaves_the_cpu(bundle, monkeypatch, caplog, name, engine):
    monkeypatch.setattr(choose, "gpu_count", lambda: 1)
    with caplog.at_level(logging.WARNING):
        assert opened(name, bundle) == (engine, "cpu")
    assert all(record.device == "cuda" for record in caplog.records)
    assert caplog.records


def test_a_bundle_at_fault_is_not_tried_elsewhere(copy, caplog):
    (copy.folder / MODEL_FILE).write_bytes(b"no graph")
    with caplog.at_level(logging.WARNING), pytest.raises(BundleError):
        open_backend("openvino", copy)
    assert not caplog.records
