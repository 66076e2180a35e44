"""Opening a backend by name, or the fastest that this machine has."""

import logging
from typing import Literal

from cxr.contracts.bundle import Bundle
from cxr.errors import ServingError
from cxr.modeling.session import Device
from cxr.serving.engine.backend import Backend
from cxr.serving.engine.gpu import gpu_count

logger = logging.getLogger(__name__)

BackendName = Literal["auto", "openvino", "onnxruntime", "torch"]
Engine = Literal["openvino", "onnxruntime", "torch"]

_ON_GPU: dict[BackendName, tuple[Engine, ...]] = {
    "auto": ("onnxruntime", "torch"),
    "onnxruntime": ("onnxruntime",),
    "torch": ("torch",),
    "openvino": (),
}
_ON_CPU: dict[BackendName, tuple[Engine, ...]] = {
    "auto": ("openvino", "onnxruntime"),
    "onnxruntime": ("onnxruntime",),
    "torch": ("torch",),
    "openvino": ("openvino",),
}


def open_backend(name: BackendName, bundle: Bundle, *, threads: int | None = None) -> Backend:
    """Open a backend; the first that this machine can run, GPU before CPU.

    Args:
        name: "auto" tries ONNX Runtime and PyTorch where there is a GPU, then OpenVINO, then ONNX Runtime.
        bundle: verified, see `cxr.contracts.bundle.read_bundle`.
        threads: of one forward pass on the CPU; all cores that the container may use when None.

    Raises:
        BundleError: the bundle cannot be run; no other backend is tried.
        ServingError: the machine has none of the backends that the name allows.
    """
    choices: list[tuple[Engine, Device]] = []
    if gpu_count():
        choices += [(engine, "cuda") for engine in _ON_GPU[name]]
    choices += [(engine, "cpu") for engine in _ON_CPU[name]]
    refusals = []
    for engine, device in choices:
        try:
            backend = _open(engine, bundle, threads=threads, device=device)
        except ServingError as error:
            logger.warning("backend cannot be used", extra={"backend": engine, "device": device, "reason": str(error)})
            refusals.append(str(error))
        else:
            return backend
    raise ServingError(f"a backend for {name!r} must be usable on this machine: {'; '.join(refusals)}")


def _open(engine: Engine, bundle: Bundle, *, threads: int | None, device: Device) -> Backend:
    if engine == "torch":
        from cxr.serving.engine.torch import TorchBackend

        return TorchBackend(bundle, threads=threads, device=device)
    if engine == "onnxruntime":
        from cxr.serving.engine.onnx_runtime import ONNXRuntimeBackend

        return ONNXRuntimeBackend(bundle, threads=threads, device=device)
    from cxr.serving.engine.openvino import OpenVINOBackend

    return OpenVINOBackend(bundle, threads=threads)
