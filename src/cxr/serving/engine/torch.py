"""PyTorch, eager, on the GPU or the CPU: from the bundle's weights and recipe instead of its graph."""

from typing import TYPE_CHECKING

import numpy as np

from cxr.contracts.bundle import REPORTS_FOLDER, Bundle
from cxr.contracts.checkpoint import RECIPE_FILE, WEIGHTS_FILE
from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe
from cxr.errors import BundleError, ContractError, RecipeError, ServingError
from cxr.modeling.outputs import Outputs
from cxr.modeling.session import Device
from cxr.serving.engine.backend import Backend, Films
from cxr.serving.engine.cores import core_limit

if TYPE_CHECKING:
    from cxr.modeling.network import Network


class TorchBackend(Backend):
    """The network under PyTorch, in f32 (TensorFloat-32 is turned off)."""

    name = "torch"

    def __init__(self, bundle: Bundle, *, threads: int | None = None, device: Device = "cpu") -> None:
        """Build the network and load its weights.

        Args:
            bundle: with weights.safetensors and reports/recipe.json.
            threads: of one forward pass on the CPU, for the whole process; all cores that the container may use when
                None.
            device: that it runs on.

        Raises:
            BundleError: weights or recipe are missing, or do not fit each other or the manifest.
            ServingError: PyTorch is not installed, or has no such device.
        """
        try:
            import torch
        except ImportError as error:
            raise ServingError(
                f"PyTorch must be installed for this backend ({error}); install torch and torchvision, or use another"
            ) from error
        if device == "cuda" and not torch.cuda.is_available():
            raise ServingError("PyTorch must see a GPU for device 'cuda', it sees none; check driver and torch build")
        network = _network(bundle)
        super().__init__(
            bundle,
            device=device,
            precision="f32",
            side=bundle.manifest.preprocessing.size,
            findings=network.head.out_features,
        )
        threads = threads or core_limit()
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = network.to(device).to(memory_format=torch.channels_last).eval()

    def _forward(self, films: Films) -> Outputs:
        import torch

        from cxr.modeling.inference import whole_float32

        with torch.inference_mode(), whole_float32():
            levels = torch.from_numpy(np.array(films)).to(self.device).unsqueeze(1)
            prediction = self._network(levels.float().div_(255))
            return Outputs(*(np.ascontiguousarray(output.cpu().numpy()) for output in prediction))

    def _release(self) -> None:
        import torch

        del self._network
        if self.device == "cuda":
            torch.cuda.empty_cache()


def _network(bundle: Bundle) -> "Network":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from cxr.modeling.network import build_network

    manifest, weights = bundle.manifest, bundle.folder / WEIGHTS_FILE
    try:
        recipe = read_json(bundle.folder / REPORTS_FOLDER / RECIPE_FILE, Recipe)
        network = build_network(recipe.model, manifest.preprocessing, len(manifest.findings))
        network.load_state_dict(load_file(weights))
    except (ContractError, RecipeError, OSError, SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"{weights} must hold the weights of the network in {REPORTS_FOLDER}/{RECIPE_FILE}: {error}; "
            "run `cxr package` again, or choose a backend that runs the graph"
        ) from error
    return network
