import logging

import numpy as np
import onnx
import pytest
import torch

from cxr.contracts.bundle import TensorSpec
from cxr.contracts.files import file_digest
from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.errors import BundleError
from cxr.modeling.export import CHECKED_BATCHES, TOLERANCE, check_onnx, export_onnx
from cxr.modeling.inference import infer
from cxr.modeling.network import build_network
from cxr.modeling.session import GraphSession

SIDE = 64


def network(architecture="resnet18", stride=32, seed=0):
    """Random weights with batch statistics that are not those of a fresh network."""
    torch.manual_seed(seed)
    recipe = ModelRecipe(architecture=architecture, output_stride=stride)
    built = build_network(recipe, Preprocessing(size=SIDE), 3).train()
    with torch.no_grad():
        built(torch.rand(8, 1, SIDE, SIDE))
    return built.eval()


def films(count=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    trained = network()
    specs = export_onnx(trained, path, side=SIDE, metadata={"findings": "a,b,c", "checkpoint": "d"})
    return trained, path, specs


def test_inputs_and_outputs_are_declared_with_any_batch(exported):
    assert exported[2] == (
        TensorSpec(name="films", dtype="float32", shape=(-1, 1, SIDE, SIDE)),
        TensorSpec(name="logits", dtype="float32", shape=(-1, 3)),
        TensorSpec(name="embedding", dtype="float32", shape=(-1, 512)),
        TensorSpec(name="maps", dtype="float32", shape=(-1, 3, 2, 2)),
    )


def test_paddings_of_any_number_of_films_are_in_the_graph(tmp_path):
    trained = network("efficientnet_lite0")
    export_onnx(trained, tmp_path / "model.onnx", side=SIDE, metadata={"findings": "a,b,c", "checkpoint": "d"})
    assert check_onnx(tmp_path / "model.onnx", trained, films()) < TOLERANCE / 10


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_the_graph_gives_what_the_network_gives(exported, count):
    trained, path, _ = exported
    served = GraphSession(path).infer(films(count), maps=True)
    expected = infer(trained, films(count), maps=True)
    for one, other in zip(served, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())
    assert check_onnx(path, trained, films()) < TOLERANCE / 10


def test_densenet_at_double_resolution_is_exported(tmp_path):
    trained = network("densenet121", stride=16)
    export_onnx(trained, tmp_path / "model.onnx", side=SIDE, metadata={})
    assert check_onnx(tmp_path / "model.onnx", trained, films()) < TOLERANCE


def test_another_networks_graph_is_refused(exported):
    with pytest.raises(BundleError, match=r"must give the network's logits within 0\.0001"):
        check_onnx(exported[1], network(seed=1), films(max(CHECKED_BATCHES)))


def test_a_graph_that_gives_nonsense_is_refused(exported):
    broken = network()
    with torch.no_grad():
        broken.head.bias[0] = float("nan")
    with pytest.raises(BundleError, match="differs by nan"):
        check_onnx(exported[1], broken, films())


def test_the_same_weights_give_the_same_bytes_without_traces_of_the_machine(exported, tmp_path, caplog):
    levels = {name: logging.getLogger(name).level for name in ("onnxscript", "onnx_ir")}
    with caplog.at_level(logging.INFO):
        export_onnx(network(), tmp_path / "model.onnx", side=SIDE, metadata={"checkpoint": "d", "findings": "a,b,c"})
    content = exported[1].read_bytes()
    assert file_digest(exported[1]) == file_digest(tmp_path / "model.onnx")
    assert b"stack_trace" not in content
    assert b".py" not in content
    assert not [record for record in caplog.records if record.name.startswith(("onnx", "torch"))]
    assert {name: logging.getLogger(name).level for name in levels} == levels


def test_the_file_says_what_it_is_and_folds_batch_normalisation(exported):
    graph = onnx.load(exported[1])
    assert {prop.key: prop.value for prop in graph.metadata_props} == {"findings": "a,b,c", "checkpoint": "d"}
    assert not [node for node in graph.graph.node if node.op_type == "BatchNormalization"]
