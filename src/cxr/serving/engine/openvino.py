"""OpenVINO on the CPU: reads the bundle's ONNX graph as it is.

Measured with two threads (`bench/backends.py`): a graph of variable batch size costs a ResNet nothing and a DenseNet
7% to 12% (its concatenations are no longer free), at about 50 MB per further graph. Hence two graphs, one of exactly
one film for the lone request and one for any number, where films are small enough to be run together. Compiling both
takes less than a second, so that nothing is cached on disk.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cxr.contracts.bundle import MODEL_FILE, Bundle
from cxr.errors import BundleError, ServingError
from cxr.modeling.outputs import Outputs
from cxr.serving.engine.backend import Backend, Films, Precision
from cxr.serving.engine.cores import core_limit
from cxr.serving.engine.passes import films_per_pass

_TELEMETRY = "openvino_telemetry"


class OpenVINOBackend(Backend):
    """The graph under OpenVINO; bf16 only where the processor computes in it (AMX or AVX-512 BF16)."""

    name = "openvino"

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        """Read and compile the graph.

        Args:
            bundle: that holds it.
            threads: of one forward pass; all cores that the container may use when None.

        Raises:
            BundleError: the graph cannot be read.
            ServingError: OpenVINO is not installed.
        """
        ov = _import()
        core = ov.Core()
        bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision: Precision = "bf16" if bf16 else "f32"
        options = _options(precision, threads)
        path = bundle.folder / MODEL_FILE
        try:
            graph = _read(ov, core, path)
            side, findings = graph.input().partial_shape[-1], graph.output("logits").partial_shape[1]
            super().__init__(
                bundle, device="cpu", precision=precision, side=side.get_length(), findings=findings.get_length()
            )
            self._together = films_per_pass(self.side)
            if self._together > 1:
                self._any: Any = core.compile_model(graph, "CPU", options).create_infer_request()
            graph.reshape([1, 1, self.side, self.side])
            self._one: Any = core.compile_model(graph, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise BundleError(f"{path} must be an ONNX graph that OpenVINO can run: {error}") from error

    def _forward(self, films: Films) -> Outputs:
        if len(films) <= self._together:
            return self._run(films)
        starts = range(0, len(films), self._together)
        passes = [self._run(films[start : start + self._together]) for start in starts]
        return Outputs(*(np.concatenate(parts) for parts in zip(*passes, strict=True)))

    def _run(self, films: Films) -> Outputs:
        request = self._one if len(films) == 1 else self._any
        request.infer([np.ascontiguousarray(films[:, None])], share_inputs=True)
        return Outputs(*(request.get_tensor(name).data.copy() for name in Outputs._fields))

    def _release(self) -> None:
        self._any = self._one = None


def _import() -> Any:
    """OpenVINO without its telemetry.

    Importing OpenVINO reports the import to its makers through a package of its own, wherever that package can be
    imported. A hospital's predictor reports nothing, so it is made impossible to import; OpenVINO falls back to a stub.
    """
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # how Python marks what cannot be imported
    try:
        return import_module("openvino")
    except ImportError as error:
        raise ServingError(
            f"OpenVINO must be installed for this backend ({error}); install cxr[serving], or choose another backend"
        ) from error


def _options(precision: Precision, threads: int | None) -> dict[str, object]:
    # A pinned thread waits for its core while another is idle: with decoding beside it a pass took three times as long.
    options: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,
    }
    threads = threads or core_limit()
    return options if threads is None else {**options, "INFERENCE_NUM_THREADS": threads}


def _read(ov: Any, core: Any, path: Path) -> Any:
    """The graph with a uint8 input, so that scaling to 0..1 is part of its first layer."""
    steps = ov.preprocess.PrePostProcessor(core.read_model(path))
    steps.input().tensor().set_element_type(ov.Type.u8)
    steps.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    return steps.build()
