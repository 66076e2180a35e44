"""Robustness: the test films again, corrupted in graded ways."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxr.contracts.files import new_folder, read_json, write_json
from cxr.contracts.metrics import (
    CALIBRATION_FILE,
    METRICS_FILE,
    ROBUSTNESS_FILE,
    ROBUSTNESS_TABLE,
    Calibration,
    MetricsReport,
    RobustnessReport,
)
from cxr.contracts.recipe import Preprocessing
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.evaluation.robust import Cell, measure_grid
from cxr.evaluation.scored import ScoredFilms
from cxr.imaging.corrupt import CORRUPTIONS, PRESETS, corrupt
from cxr.imaging.preprocess import network_input
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.inference import choose_device, infer
from cxr.progress import progress

_BATCH = 64


def robustness(*, studies: Path, split: Path, checkpoint: Path, evaluation: Path, out: Path) -> RobustnessReport:
    """Measure every corruption at every severity of the recipe on the test films.

    A corrupted film is rounded to 8 bits and preprocessed again, as the service would: what the grey-level stretch
    undoes does not count, what it makes worse does.

    Args:
        studies: images.
        split: index with the splits.
        checkpoint: the network, and the recipe of its evaluation.
        evaluation: calibration of the same checkpoint.
        out: folder to write: robustness.json, robustness.csv, figures/.

    Raises:
        ContractError: a file is missing or malformed, the evaluation is of another checkpoint, or no test film has a
            label.
    """
    model = read_checkpoint(checkpoint)
    calibration = _calibration(evaluation, model)
    index = StudyIndex.read(split)
    films = load_films(studies, index.part(Split.TEST), model.recipe.preprocessing)
    films = films.take(films.labels >= 0)
    if not len(films):
        raise ContractError("the test films must have labels of the taxonomy, none has one")
    score = partial(
        ScoredFilms.from_logits,
        labels=films.labels,
        groups=[str(group) for group in films.index.films["group_id"]],
        temperature=calibration.temperature,
        findings=model.findings,
    )
    report = measure_grid(
        score(infer(model.network, films.films, device=choose_device(None)).logits),
        {cell: score(logits) for cell, logits in _infer_grid(model, films)},
        presets=PRESETS,
        resamples=model.recipe.evaluation.resamples,
        seed=model.recipe.seed,
        index=index.digest,
        model=model.digest,
    )
    _write(out, report, films, seeds=film_seeds(films, seed=model.recipe.seed))
    return report


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


def _calibration(evaluation: Path, model: Checkpoint) -> Calibration:
    evaluated = read_json(evaluation / METRICS_FILE, MetricsReport).model
    if evaluated != model.digest:
        raise ContractError(
            f"{evaluation} must be of checkpoint {model.digest[:12]}, is of {evaluated[:12]}; run `cxr evaluate` again"
        )
    return read_json(evaluation / CALIBRATION_FILE, Calibration)


def _infer_grid(model: Checkpoint, films: FilmArray) -> Iterator[tuple[Cell, npt.NDArray[np.float32]]]:
    """Yield every cell with its logits [n, c]."""
    device = choose_device(None)
    seeds = film_seeds(films, seed=model.recipe.seed)
    cells = [(name, severity) for name in CORRUPTIONS for severity in sorted(set(model.recipe.evaluation.severities))]
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("corruptions", len(cells) * len(films)) as advance:
        for cell in cells:
            batches = []
            for start in range(0, len(films), _BATCH):
                stop = start + _BATCH
                worse = corrupt_films(
                    films.films[start:stop],
                    cell,
                    seeds=seeds[start:stop],
                    preprocessing=model.recipe.preprocessing,
                    device=device,
                    pool=pool,
                )
                batches.append(infer(model.network, worse, batch_size=_BATCH, device=device).logits)
                advance(len(worse))
            yield cell, np.concatenate(batches)


def _write(out: Path, report: RobustnessReport, films: FilmArray, *, seeds: Sequence[int]) -> None:
    from cxr.reporting.robustness_figures import draw_corruptions, draw_robustness
    from cxr.reporting.tidy import tidy_robustness

    amounts = {
        (name, severity): (amount, corruption.unit)
        for name, corruption in CORRUPTIONS.items()
        for severity, amount in enumerate(corruption.amounts, start=1)
    }
    with new_folder(out) as folder:
        write_json(folder / ROBUSTNESS_FILE, report)
        tidy_robustness(report, amounts=amounts).to_csv(folder / ROBUSTNESS_TABLE, index=False)
        (folder / "figures").mkdir()
        if report.results:
            draw_robustness(report, clinical=PRESETS["clinical"]).savefig(folder / "figures" / "robustness.png")
        draw_corruptions(films.films[0], seed=seeds[0]).savefig(folder / "figures" / "corruptions.png")
