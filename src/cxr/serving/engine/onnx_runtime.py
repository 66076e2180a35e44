"""ONNX Runtime, on the CPU or with its CUDA provider."""

from cxr.contracts.bundle import MODEL_FILE, Bundle
from cxr.errors import ServingError
from cxr.modeling.outputs import Outputs
from cxr.modeling.session import Device, GraphSession
from cxr.serving.engine.backend import Backend, Films
from cxr.serving.engine.cores import core_limit
from cxr.serving.engine.passes import films_per_pass


class ONNXRuntimeBackend(Backend):
    """The graph under ONNX Runtime, in f32 (TensorFloat-32 is turned off)."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, *, threads: int | None = None, device: Device = "cpu") -> None:
        """Load the graph.

        Args:
            bundle: that holds it.
            threads: of one forward pass; all cores that the container may use when None.
            device: "cuda" needs the package onnxruntime-gpu and its CUDA libraries.

        Raises:
            BundleError: the graph cannot be read, or does not fit the manifest.
            ServingError: ONNX Runtime is not installed, or has no such device.
        """
        try:
            session = GraphSession(bundle.folder / MODEL_FILE, threads=threads or core_limit(), device=device)
        except ImportError as error:
            raise ServingError(
                f"ONNX Runtime must be installed for this backend ({error}); install cxr[serving], or choose another"
            ) from error
        super().__init__(bundle, device=device, precision="f32", side=session.side, findings=session.findings)
        self._session = session

    def _forward(self, films: Films) -> Outputs:
        together = films_per_pass(self.side) if self.device == "cpu" else len(films)
        return self._session.infer(films, maps=True, batch_size=together)

    def _release(self) -> None:
        del self._session
