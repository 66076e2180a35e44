"""Checkpoints: a trained network as a folder of plain files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from cxr.contracts.checkpoint import (
    HISTORY_FILE,
    RECIPE_FILE,
    TAXONOMY_FILE,
    WEIGHTS_FILE,
    History,
    TaxonomyFile,
)
from cxr.contracts.files import file_digest, new_folder, read_json, write_bytes, write_json
from cxr.contracts.recipe import Recipe
from cxr.errors import ContractError
from cxr.modeling.network import Network, build_network


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network in evaluation mode, with what made it.

    `digest` is over weights, recipe and taxonomy: what the network computes, not how long its training took.
    """

    network: Network
    recipe: Recipe
    findings: tuple[str, ...]
    history: History
    digest: str


def write_checkpoint(
    out: Path, *, network: Network, recipe: Recipe, findings: tuple[str, ...], history: History
) -> None:
    """Write a checkpoint folder, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with new_folder(out) as folder:
        write_bytes(folder / WEIGHTS_FILE, save(tensors, metadata={"format": "cxr.checkpoint/1"}))
        write_json(folder / RECIPE_FILE, recipe)
        write_json(folder / TAXONOMY_FILE, TaxonomyFile(findings=findings))
        write_json(folder / HISTORY_FILE, history)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint; raises `ContractError` when a file is missing or does not fit the others."""
    recipe = read_json(folder / RECIPE_FILE, Recipe)
    findings = read_json(folder / TAXONOMY_FILE, TaxonomyFile).findings
    history = read_json(folder / HISTORY_FILE, History)
    network = build_network(recipe.model, recipe.preprocessing, len(findings))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ContractError(f"{folder / WEIGHTS_FILE} must hold the weights of {recipe.model}: {error}") from error
    return Checkpoint(network.eval(), recipe, findings, history, _digest(folder))


def _digest(folder: Path) -> str:
    parts = [file_digest(folder / name) for name in (WEIGHTS_FILE, RECIPE_FILE, TAXONOMY_FILE)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
