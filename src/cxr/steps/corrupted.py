"""Films that are corrupted on the way to a network, as the service would then read them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from cxr.contracts.recipe import Preprocessing
from cxr.evaluation.robust import Cell
from cxr.imaging.corrupt import corrupt
from cxr.imaging.preprocess import network_input
from cxr.modeling.checkpoint import Checkpoint
from cxr.modeling.dataset import FilmArray
from cxr.modeling.inference import choose_device, infer
from cxr.progress import progress

_BATCH = 64


def film_seeds(films: FilmArray, *, seed: int) -> list[int]:
    """One number per film from its identity, so that a film meets the same corruption in every index."""
    names = films.index.films["image_id"]
    return [int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "big") for name in names]


@torch.inference_mode()
def corrupt_films(
    films: npt.NDArray[np.uint8],
    cell: Cell,
    *,
    seeds: Sequence[int],
    preprocessing: Preprocessing,
    device: torch.device,
    pool: Executor,
) -> npt.NDArray[np.uint8]:
    """Corrupt and preprocess a batch again, uint8 [n, S, S] to the same.

    Args:
        films: as `network_input` gives them.
        cell: corruption and severity.
        seeds: one per film.
        preprocessing: of the recipe.
        device: where to corrupt.
        pool: where to preprocess.
    """
    batch = torch.from_numpy(films).to(device).unsqueeze(1)
    grey = corrupt(batch, *cell, seeds=seeds).squeeze(1)
    stored = (grey * 255).round_().to(torch.uint8).cpu().numpy()
    return np.stack(list(pool.map(partial(network_input, preprocessing=preprocessing), stored)))


def infer_corrupted(
    model: Checkpoint, films: FilmArray, cells: Sequence[Cell], *, title: str
) -> Iterator[tuple[Cell, npt.NDArray[np.float32]]]:
    """Yield every cell with the logits [n, c] of n films corrupted by it.

    Args:
        model: the network, and the recipe of its seed and preprocessing.
        films: as they are.
        cells: corruptions and severities.
        title: of the progress.
    """
    device, recipe = choose_device(None), model.recipe
    seeds = film_seeds(films, seed=recipe.seed)
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress(title, len(cells) * len(films)) as advance:
        for cell in cells:
            batches = []
            for start in range(0, len(films), _BATCH):
                rows = slice(start, start + _BATCH)
                worse = corrupt_films(
                    films.films[rows],
                    cell,
                    seeds=seeds[rows],
                    preprocessing=recipe.preprocessing,
                    device=device,
                    pool=pool,
                )
                batches.append(infer(model.network, worse, batch_size=_BATCH, device=device).logits)
                advance(len(worse))
            yield cell, np.concatenate(batches)
