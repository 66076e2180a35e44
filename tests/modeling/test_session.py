import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from cxr.contracts.bundle import BUNDLE_FILE, MODEL_FILE, BundleManifest
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.contracts.metrics import Calibration
from cxr.errors import BundleError
from cxr.modeling.inference import infer
from cxr.modeling.session import BundleSession, GraphSession
from support.checkpoints import SMALL, write_random_checkpoint, write_small_bundle

SIDE = SMALL.preprocessing.size
CALIBRATION = Calibration(temperature=1.5, operating_points=(), refer_below=0.5, validation_films=10)


def films(count, side=SIDE):
    return np.random.default_rng(count).integers(0, 256, (count, side, side), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_random_checkpoint(tmp_path_factory.mktemp("trained") / "checkpoint")


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "bundle"
    write_small_bundle(folder, model, CALIBRATION)
    return folder


@pytest.fixture
def copy(bundle, tmp_path):
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def test_a_bundle_answers_like_its_network_whatever_the_batches(model, bundle):
    session = BundleSession(bundle, threads=1)
    expected = infer(model.network, films(7), maps=True)
    for batch_size in (1, 3, 32):
        for one, other in zip(session.infer(films(7), maps=True, batch_size=batch_size), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_it_knows_who_it_is(model, bundle):
    session = BundleSession(bundle)
    assert session.digest == file_digest(bundle / BUNDLE_FILE)
    assert session.findings == model.findings
    assert session.manifest.calibration == CALIBRATION


def test_maps_are_given_only_when_asked_for_and_no_film_is_no_trouble(bundle):
    session = BundleSession(bundle)
    assert session.infer(films(2)).maps is None
    nothing = session.infer(films(0), maps=True)
    assert (nothing.logits.shape, nothing.embedding.shape, nothing.maps.shape) == ((0, 3), (0, 512), (0, 3, 1, 1))


@pytest.mark.parametrize("wrong", [films(1).astype(np.float32), films(1)[0], films(1, side=SIDE + 1)])
def test_films_of_another_kind_are_refused(bundle, wrong):
    with pytest.raises(ValueError, match=r"films must be uint8 \[n, 32, 32\]"):
        BundleSession(bundle).infer(wrong)


def test_a_changed_graph_is_refused(copy):
    with (copy / MODEL_FILE).open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleError, match="changed"):
        BundleSession(copy)


def test_a_graph_of_another_size_is_refused(copy):
    manifest = read_json(copy / BUNDLE_FILE, BundleManifest)
    preprocessing = msgspec.structs.replace(manifest.preprocessing, size=64)
    write_json(copy / BUNDLE_FILE, msgspec.structs.replace(manifest, preprocessing=preprocessing))
    with pytest.raises(BundleError, match="must take films of side 64 and give 3 logits, has side 32"):
        BundleSession(copy)


@pytest.mark.parametrize("content", [None, b"", b"no graph"])
def test_a_file_that_is_no_graph_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / MODEL_FILE).write_bytes(content)
    with pytest.raises(BundleError, match="must "):
        GraphSession(tmp_path / MODEL_FILE)


def test_a_graph_with_other_outputs_is_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value("x", 1, ["n", 3])], [value("y", 1, ["n", 3])]
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / MODEL_FILE)
    with pytest.raises(BundleError, match="must take films"):
        GraphSession(tmp_path / MODEL_FILE)


def test_serving_needs_no_torch():
    code = "import sys, cxr.modeling.session, cxr.steps.predict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
