"""From a torch network to the ONNX graph that is served, checked against the network on real films."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from cxr.contracts.bundle import TensorSpec
from cxr.contracts.files import write_bytes
from cxr.errors import BundleError
from cxr.modeling.inference import infer
from cxr.modeling.network import Network
from cxr.modeling.outputs import Outputs
from cxr.modeling.session import GraphSession

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

logger = logging.getLogger(__name__)

OPSET = 20
INPUT = "films"
CHECKED_BATCHES = (1, 3, 8)
TOLERANCE = 1e-4
"""Largest difference between graph and network, as a share of the largest magnitude of that output."""

_BATCH = "n"
_TALKATIVE = ("onnxscript", "onnx_ir")


def export_onnx(network: Network, path: Path, *, side: int, metadata: dict[str, str]) -> tuple[TensorSpec, ...]:
    """Write a network as an ONNX graph from `films`, float32 [n, 1, side, side] in 0..1, to `Outputs`, for any n.

    The same weights and versions give the same bytes: traces of the exporting machine are taken out. Batch
    normalisation that follows a convolution is folded into it.

    Args:
        network: in evaluation mode, on the CPU.
        path: file to write.
        side: of the square input, pixels.
        metadata: kept in the file for whoever meets it alone.

    Returns:
        The input and, after it, the outputs.

    Raises:
        BundleError: the graph is not valid ONNX.
    """
    import onnx

    graph = _traced(network, side)
    _strip(graph)
    onnx.helper.set_model_props(graph, dict(sorted(metadata.items())))
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"the exported graph must be valid ONNX: {error}") from error
    write_bytes(path, graph.SerializeToString(deterministic=True))
    return tuple(_spec(value) for value in (*graph.graph.input, *graph.graph.output))


def check_onnx(path: Path, network: Network, films: npt.NDArray[np.uint8]) -> float:
    """Run graph and network on the same films, in batches of several sizes, and compare every output.

    Args:
        path: the exported graph.
        network: that it was exported from.
        films: uint8 [n, S, S]; the first 1, 3 and 8 of them make the batches.

    Returns:
        The largest difference, as a share of the largest magnitude of its output.

    Raises:
        BundleError: the difference is above `TOLERANCE`.
    """
    graph = GraphSession(path)
    worst = 0.0
    for size in CHECKED_BATCHES:
        batch = films[:size]
        served, trained = graph.infer(batch, maps=True), infer(network, batch, maps=True)
        for name, one, other in zip(Outputs._fields, served, trained, strict=True):
            difference = _difference(one, other)
            if not difference <= TOLERANCE:
                raise BundleError(
                    f"the exported graph must give the network's {name} within {TOLERANCE:g} of their largest value, "
                    f"differs by {difference:.3g} on {len(batch)} films; do not serve it, report the versions of torch "
                    "and onnxruntime"
                )
            worst = max(worst, difference)
    logger.info("exported graph agrees with the network", extra={"difference": worst, "films": len(films)})
    return worst


def _difference(one: npt.NDArray[np.float32] | None, other: npt.NDArray[np.float32] | None) -> float:
    if one is None or other is None or one.shape != other.shape:
        return float("inf")
    scale = max(float(np.abs(other).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(one - other).max()) / scale


def _traced(network: Network, side: int) -> "ModelProto":
    films = torch.zeros(2, 1, side, side)
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            (films,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(Outputs._fields),
            dynamic_shapes=({0: torch.export.Dim(_BATCH, min=1)},),
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the exporter that is not asked for here returns None
    graph: ModelProto = program.model_proto
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's optimiser reports every pass at INFO."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [talkative.level for talkative in loggers]
    for talkative in loggers:
        talkative.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for talkative, level in zip(loggers, levels, strict=True):
            talkative.setLevel(level)


def _strip(message: Any) -> None:
    """Take out what the exporter notes beside every node: stack traces with the paths of this machine."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else [value]:
                _strip(part)


def _spec(value: "ValueInfoProto") -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    shape = tuple(-1 if length.dim_param else length.dim_value for length in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape=shape)
