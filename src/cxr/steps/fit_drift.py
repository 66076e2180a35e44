"""Fit drift: the reference that later films are compared with, and the limit beyond which a film is like no other."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.contracts.bundle import OutOfDistribution
from cxr.contracts.drift import CONDITIONS, DriftReference, Rehearsal
from cxr.contracts.files import new_folder
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.drift.reference import Projection, Reference, SeenFilms, fit_projection, write_reference
from cxr.drift.statistics import STATISTICS, image_statistics
from cxr.imaging.corrupt import PRESETS
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.inference import choose_device, infer
from cxr.modeling.outputs import Outputs
from cxr.steps.corrupted import corrupt_films, film_seeds

logger = logging.getLogger(__name__)

QUANTILE = 0.99
"""Share of the validation films that are within the out-of-distribution limit."""


def fit_drift(*, studies: Path, split: Path, checkpoint: Path, out: Path) -> DriftReference:
    """Fit the projection on training films and describe the validation films with it.

    The projection must not see the reference films: fitted on them it makes any other film look strange. Test films,
    clean and corrupted, go along as a rehearsal: on them the sidecar measures how often its tests alarm.

    Args:
        studies: images.
        split: index with training and validation films, and test films if there are any; labels are not used.
        checkpoint: the network.
        out: folder to write `reference.npz` and `reference.json` to.

    Raises:
        ContractError: a folder is missing or malformed, or holds too few films.
    """
    model = read_checkpoint(checkpoint)
    index = StudyIndex.read(split)
    films = {part: load_films(studies, index.part(part), model.recipe.preprocessing) for part in Split}
    projection, explained = fit_projection(_seen(model, films[Split.TRAIN].films).embedding)
    validation = films[Split.VALIDATION].films
    outputs = _seen(model, validation)
    seen = _describe(projection, outputs, validation)
    rehearsal = _rehearse(model, projection, films[Split.TEST])
    limit = float(np.quantile(projection.distance(outputs.embedding), QUANTILE))
    manifest = DriftReference(
        checkpoint=model.digest,
        index=index.digest,
        training_films=len(films[Split.TRAIN]),
        reference_films=len(validation),
        features=len(projection.mean),
        components=len(projection.scale),
        explained_variance=explained,
        statistics=STATISTICS,
        findings=model.findings,
        out_of_distribution=OutOfDistribution(limit=limit, quantile=QUANTILE),
        rehearsal=Rehearsal(films=len(films[Split.TEST]), conditions=tuple(rehearsal), seed=model.recipe.seed),
    )
    with new_folder(out) as folder:
        write_reference(folder, Reference(projection=projection, **vars(seen), rehearsal=rehearsal), manifest)
    logger.info("drift reference fitted", extra={"components": manifest.components, "limit": limit})
    return manifest


def _rehearse(model: Checkpoint, projection: Projection, films: FilmArray) -> dict[str, SeenFilms]:
    """The test films under every condition; nothing when there are none."""
    if not len(films):
        return {}
    conditions = {name: films.films if name == "clean" else _worsen(model, films, name) for name in CONDITIONS}
    return {name: _describe(projection, _seen(model, worse), worse) for name, worse in conditions.items()}


def _worsen(model: Checkpoint, films: FilmArray, preset: str) -> npt.NDArray[np.uint8]:
    """Every film with one corruption of the preset, drawn from the film's identity, and preprocessed again."""
    recipe, cells = model.recipe, PRESETS[preset]
    seeds = film_seeds(films, seed=recipe.seed)
    drawn = np.array([seed % len(cells) for seed in seeds])
    worse = np.empty_like(films.films)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        change = partial(corrupt_films, preprocessing=recipe.preprocessing, device=choose_device(None), pool=pool)
        for place, cell in enumerate(cells):
            rows = np.flatnonzero(drawn == place)
            if len(rows):
                worse[rows] = change(films.films[rows], cell, seeds=[seeds[row] for row in rows])
    return worse


def _describe(projection: Projection, outputs: Outputs, films: npt.NDArray[np.uint8]) -> SeenFilms:
    return SeenFilms(
        embedding=projection.project(outputs.embedding),
        logits=outputs.logits,
        statistics=np.stack([image_statistics(film) for film in films]),
        distance=projection.distance(outputs.embedding),
    )


def _seen(model: Checkpoint, films: npt.NDArray[np.uint8]) -> Outputs:
    return infer(model.network, films, device=choose_device(None))
