"""Running an exported graph with ONNX Runtime, without torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cxr.contracts.bundle import MODEL_FILE, BundleManifest, read_bundle
from cxr.errors import BundleError, ServingError
from cxr.modeling.outputs import Outputs

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Device = Literal["cpu", "cuda"]

_QUIET = 3
_CUDA = "CUDAExecutionProvider"
_PROVIDERS: dict[Device, list[Any]] = {
    "cpu": ["CPUExecutionProvider"],
    # f32 as on the CPU; without the search that a new batch size would cost
    "cuda": [(_CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"],
}


class GraphSession:
    """An exported graph under ONNX Runtime.

    Attributes:
        side: of the square films that it takes, pixels.
        findings: number of logits.
    """

    def __init__(self, path: Path, *, threads: int | None = None, device: Device = "cpu") -> None:
        """Load a graph.

        Args:
            path: ONNX file as `cxr.modeling.export.export_onnx` writes it.
            threads: of one forward pass on the CPU; all cores when None.
            device: "cuda" needs the package onnxruntime-gpu and its CUDA libraries.

        Raises:
            BundleError: the file is no such graph.
            ServingError: ONNX Runtime cannot use the device.
        """
        self._session = _open(path, threads, device)
        try:
            (films,) = self._session.get_inputs()
            shapes = {output.name: output.shape for output in self._session.get_outputs()}
            self._input = str(films.name)
            self.side = int(films.shape[-1])
            self.findings = int(shapes["logits"][1])
            self._features = int(shapes["embedding"][1])
            self._map_shape = tuple(int(length) for length in shapes["maps"][1:])
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(
                f"{path} must take films [n, 1, S, S] and give {', '.join(Outputs._fields)}; export it again ({error})"
            ) from error

    def infer(self, films: npt.NDArray[np.uint8], *, maps: bool = False, batch_size: int = 32) -> Outputs:
        """Run the graph over films.

        Args:
            films: uint8 [n, side, side], as `cxr.imaging.preprocess.network_input` gives them; n may be 0.
            maps: also return the activation maps.
            batch_size: films per forward pass.

        Raises:
            ValueError: the films have another type or shape.
        """
        if films.dtype != np.uint8 or films.ndim != 3 or films.shape[1:] != (self.side, self.side):
            raise ValueError(
                f"films must be uint8 [n, {self.side}, {self.side}], are {films.dtype} {list(films.shape)}; "
                "prepare them with cxr.imaging.preprocess.network_input"
            )
        names = Outputs._fields if maps else Outputs._fields[:2]
        rows = len(films)
        results = [
            np.empty((rows, self.findings), np.float32),
            np.empty((rows, self._features), np.float32),
            np.empty((rows, *self._map_shape), np.float32),
        ][: len(names)]
        for start in range(0, rows, batch_size):
            batch = films[start : start + batch_size, None].astype(np.float32) / np.float32(255)
            for result, part in zip(results, self._session.run(names, {self._input: batch}), strict=True):
                result[start : start + batch_size] = part
        return Outputs(results[0], results[1], results[2] if maps else None)


class BundleSession:
    """A bundle, verified and ready to classify.

    Attributes:
        manifest: preprocessing, findings, calibration and limits.
        digest: the bundle's identity.
    """

    def __init__(self, folder: Path, *, threads: int | None = None, verify: bool = True) -> None:
        """Open a bundle; raises `BundleError` when it is incomplete, changed or does not fit its own manifest.

        Args:
            folder: of the bundle.
            threads: of one forward pass; all cores when None.
            verify: hash every file first, see `read_bundle`.
        """
        bundle = read_bundle(folder, verify=verify)
        self.manifest: BundleManifest = bundle.manifest
        self.digest: str = bundle.digest
        self._graph = GraphSession(folder / MODEL_FILE, threads=threads)
        expected = (self.manifest.preprocessing.size, len(self.findings))
        if (self._graph.side, self._graph.findings) != expected:
            raise BundleError(
                f"{folder / MODEL_FILE} must take films of side {expected[0]} and give {expected[1]} logits, has side "
                f"{self._graph.side} and {self._graph.findings} logits; run `cxr package` again"
            )

    @property
    def findings(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return self.manifest.findings

    def infer(self, films: npt.NDArray[np.uint8], *, maps: bool = False, batch_size: int = 32) -> Outputs:
        """Run the bundle's graph over films, see `GraphSession.infer`."""
        return self._graph.infer(films, maps=maps, batch_size=batch_size)


def _open(path: Path, threads: int | None, device: Device) -> "InferenceSession":
    # From 1.32 on it reports to its makers as soon as it is loaded; its own switch in Python comes too late.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = _QUIET
    # waiting threads that spin take the cores of others: on two busy cores a forward pass takes half the time without
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    unusable = (
        runtime.NoSuchFile,
        runtime.InvalidProtobuf,
        runtime.InvalidGraph,
        runtime.InvalidArgument,
        runtime.NotImplemented,
        runtime.Fail,
    )
    if device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise ServingError("ONNX Runtime must have its CUDA provider for device 'cuda'; install onnxruntime-gpu")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=_PROVIDERS[device])
    except unusable as error:
        raise BundleError(f"{path} must be an ONNX graph that ONNX Runtime can run: {error}") from error
    if device == "cuda" and _CUDA not in session.get_providers():
        # it goes on with the CPU when libraries are missing
        raise ServingError("ONNX Runtime must find CUDA and cuDNN for device 'cuda', it did not; check the libraries")
    return session
