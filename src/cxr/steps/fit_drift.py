"""Fit drift: the reference that later films are compared with, and the limit beyond which a film is like no other."""

import logging
from pathlib import Path

import numpy as np

from cxr.contracts.bundle import OutOfDistribution
from cxr.contracts.drift import DriftReference
from cxr.contracts.files import new_folder
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.drift.reference import Reference, fit_projection, write_reference
from cxr.drift.statistics import STATISTICS, image_statistics
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.inference import choose_device, infer
from cxr.modeling.outputs import Outputs

logger = logging.getLogger(__name__)

QUANTILE = 0.99
"""Share of the validation films that are within the out-of-distribution limit."""


def fit_drift(*, studies: Path, split: Path, checkpoint: Path, out: Path) -> DriftReference:
    """Fit the projection on training films and describe the validation films with it.

    The projection must not see the reference films: fitted on them it makes any other film look strange.

    Args:
        studies: images.
        split: index with training and validation films; labels are not used.
        checkpoint: the network.
        out: folder to write `reference.npz` and `reference.json` to.

    Raises:
        ContractError: a folder is missing or malformed, or holds too few films.
    """
    model = read_checkpoint(checkpoint)
    index = StudyIndex.read(split)
    training = _seen(model, load_films(studies, index.part(Split.TRAIN), model.recipe.preprocessing))
    validation = load_films(studies, index.part(Split.VALIDATION), model.recipe.preprocessing)
    seen = _seen(model, validation)
    projection, explained = fit_projection(training.embedding)
    reference = Reference(
        projection=projection,
        embedding=projection.project(seen.embedding),
        logits=seen.logits,
        statistics=np.stack([image_statistics(film) for film in validation.films]),
    )
    limit = float(np.quantile(projection.distance(seen.embedding), QUANTILE))
    manifest = DriftReference(
        checkpoint=model.digest,
        index=index.digest,
        training_films=len(training.embedding),
        reference_films=len(validation),
        features=len(projection.mean),
        components=len(projection.scale),
        explained_variance=explained,
        statistics=STATISTICS,
        findings=model.findings,
        out_of_distribution=OutOfDistribution(limit=limit, quantile=QUANTILE),
    )
    with new_folder(out) as folder:
        write_reference(folder, reference, manifest)
    logger.info("drift reference fitted", extra={"components": manifest.components, "limit": limit})
    return manifest


def _seen(model: Checkpoint, films: FilmArray) -> Outputs:
    return infer(model.network, films.films, device=choose_device(None))
