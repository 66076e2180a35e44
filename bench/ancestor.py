"""What bench/serving.py compares with: the same weights behind FastAPI and eager torch, and in a plain KServe model.

    python bench/ancestor.py fastapi|kserve --bundle DIR --port N

Neither has keys, limits, audit, drift or refusals: they do less for every request than the service does.
"""

import argparse
import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from cxr.contracts.bundle import read_bundle
from cxr.contracts.checkpoint import RECIPE_FILE, WEIGHTS_FILE
from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe
from cxr.modeling.network import build_network


class Eager:
    """A network in eager torch, and PIL in front of it."""

    def __init__(self, folder: Path) -> None:
        manifest = read_bundle(folder).manifest
        recipe = read_json(folder / "reports" / RECIPE_FILE, Recipe)
        self.network = build_network(recipe.model, manifest.preprocessing, len(manifest.findings)).eval()
        self.network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        self.findings, self.side = manifest.findings, manifest.preprocessing.size

    def film(self, data: bytes) -> torch.Tensor:
        """[1, 1, S, S] in 0..1."""
        picture = Image.open(io.BytesIO(data)).convert("L").resize((self.side, self.side), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(picture, np.float32) / 255)[None, None]

    def probabilities(self, film: torch.Tensor) -> dict[str, float]:
        """By finding."""
        return dict(zip(self.findings, torch.softmax(self.network(film).logits, 1)[0].tolist(), strict=True))


def fastapi(model: Eager, port: int) -> None:
    """The design of the service's ancestor: one request at a time in the event loop."""
    import uvicorn
    from fastapi import FastAPI, UploadFile

    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict[str, object]:
        data = await file.read()
        with torch.no_grad():
            probabilities = model.probabilities(model.film(data))
        return {"probabilities": probabilities, "decision": max(probabilities, key=probabilities.__getitem__)}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def kserve(model: Eager, port: int) -> None:
    """A custom model as KServe's documentation writes one, V2 with base64."""
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

    class Plain(Model):
        def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
            data = base64.b64decode(payload.inputs[0].data[0])
            with torch.inference_mode():
                values = list(model.probabilities(model.film(data)).values())
            output = InferOutput("probabilities", [1, len(values)], "FP32", data=values)
            return InferResponse(payload.id or "", self.name, [output])

    plain = Plain("cxr")
    plain.ready = True
    ModelServer(http_port=port, enable_grpc=False).start([plain])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("design", choices=["fastapi", "kserve"])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given, _ = parser.parse_known_args()
    {"fastapi": fastapi, "kserve": kserve}[given.design](Eager(given.bundle), given.port)
