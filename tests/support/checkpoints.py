"""Checkpoints and bundles of small networks with random weights, for tests of what comes after training."""

from pathlib import Path

import torch

from cxr.contracts.bundle import (
    BUNDLE_FILE,
    MODEL_FILE,
    BundleManifest,
    OutOfDistribution,
    Provenance,
)
from cxr.contracts.checkpoint import History
from cxr.contracts.files import file_digest, write_json
from cxr.contracts.metrics import Calibration
from cxr.contracts.recipe import EvaluationRecipe, ModelRecipe, Preprocessing, Recipe
from cxr.domain import TAXONOMY
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from cxr.modeling.export import export_onnx
from cxr.modeling.network import build_network
from support.gates import OPEN

SMALL = Recipe(
    model=ModelRecipe(architecture="resnet18", weights="none"),
    preprocessing=Preprocessing(size=32, stored_side=64),
    evaluation=EvaluationRecipe(resamples=100, severities=(1, 4)),
)


def write_random_checkpoint(
    folder: Path, recipe: Recipe = SMALL, *, seed: int = 0, index: str = "0" * 64
) -> Checkpoint:
    """An untrained network with its recipe, as `cxr train` writes it."""
    torch.manual_seed(seed)
    network = build_network(recipe.model, recipe.preprocessing, len(TAXONOMY)).eval()
    history = History(
        initial_weights="random",
        best_epoch=0,
        stopped="schedule",
        index=index,
        device="cpu",
        finished="2026-01-01T00:00:00Z",
        epochs=(),
    )
    write_checkpoint(folder, network=network, recipe=recipe, findings=tuple(TAXONOMY), history=history)
    return read_checkpoint(folder)


def write_small_bundle(folder: Path, model: Checkpoint, calibration: Calibration) -> BundleManifest:
    """A bundle that holds a graph and nothing else."""
    folder.mkdir(parents=True)
    side = model.recipe.preprocessing.size
    inputs, *outputs = export_onnx(model.network, folder / MODEL_FILE, side=side, metadata={})
    manifest = BundleManifest(
        architecture=model.recipe.model.architecture,
        findings=model.findings,
        preprocessing=model.recipe.preprocessing,
        calibration=calibration,
        out_of_distribution=OutOfDistribution(limit=1e9, quantile=0.99),
        gate=OPEN,
        inputs=(inputs,),
        outputs=tuple(outputs),
        provenance=Provenance(
            created="2026-01-01T00:00:00Z",
            cxr_version="0",
            index="0" * 64,
            checkpoint=model.digest,
            recipe="0" * 64,
            training_films=0,
            training_sources=(),
            initial_weights="random",
        ),
        files={MODEL_FILE: file_digest(folder / MODEL_FILE)},
    )
    write_json(folder / BUNDLE_FILE, manifest)
    return manifest
