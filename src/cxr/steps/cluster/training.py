"""A training as a TrainJob: the step waits for it, and takes the checkpoint from the claim."""

import contextlib
import logging
import shutil
import time
from pathlib import Path

from cxr.adapters.kubernetes_api import connect
from cxr.adapters.train_job import checkpoint_folder, job_folder, output_folder, render_train_job
from cxr.adapters.trainer import Trainer
from cxr.contracts.checkpoint import HISTORY_FILE, RECIPE_FILE, History
from cxr.contracts.cluster import Cluster
from cxr.contracts.files import clear_removed, new_folder, read_json, remove_folder
from cxr.contracts.recipe import Recipe
from cxr.errors import ClusterError, TrainingError
from cxr.steps.cluster.discard import discard
from cxr.steps.cluster.films import folder_on_claim, share_films

logger = logging.getLogger(__name__)

_SETTLING_SECONDS = 60.0
"""A network file system may show a file of another node that late."""


def train_in_cluster(
    *,
    studies: Path,
    split: Path,
    recipe: Recipe,
    out: Path,
    scratch: Path,
    weights: Path | None,
    cluster: Cluster,
    key: str,
) -> History:
    """Train a recipe on the nodes of a TrainJob and write the checkpoint; see `cxr.steps.train.train`.

    The TrainJob is named after what is trained, so that a step that was killed finds it again and goes on waiting; a
    new TrainJob goes on after the last epoch of the one before. It is deleted when the checkpoint is taken, or when it
    has failed, unless `cluster.training.keep`. A step that is interrupted, or loses the cluster, leaves it running.

    Args:
        studies: images.
        split: index.
        recipe: what to train and how.
        out: checkpoint folder to write.
        scratch: folder on the claim.
        weights: file of initial weights, or None.
        cluster: nodes, processes and what they get.
        key: names recipe, films and initial weights.

    Raises:
        ClusterError: the cluster cannot be reached or refuses, or `scratch` is not on the claim.
        TrainingError: the training failed, or is not complete in time.
    """
    claim = Path(cluster.mount)
    place = folder_on_claim(scratch, claim)
    trained, output = claim / checkpoint_folder(place, key), claim / output_folder(place, key)
    work = claim / job_folder(place, key)
    clear_removed(work)
    films = share_films(studies=studies, split=split, weights=weights, scratch=scratch, claim=claim)
    manifest = render_train_job(recipe, cluster, films, key=key, scratch=place)
    name = manifest["metadata"]["name"]
    with connect() as api:
        trainer = Trainer(api, cluster.namespace)
        if not (trained / HISTORY_FILE).is_file():
            trainer.create(manifest)
            try:
                trainer.wait(name, timeout_seconds=cluster.training.timeout_hours * 3600, output=output)
            except TrainingError:
                discard(trainer.delete, name, noun="training", keep=cluster.training.keep)
                raise
        history = _take(trained, out, recipe, name)
        discard(trainer.delete, name, noun="training", keep=cluster.training.keep)
    if not cluster.training.keep:
        with contextlib.suppress(OSError):  # the checkpoint has been taken
            remove_folder(work)
    return history


def _take(trained: Path, out: Path, recipe: Recipe, name: str) -> History:
    """Copy the checkpoint from the claim, whole or not at all."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while not (trained / HISTORY_FILE).is_file():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"the training {name} is complete and its checkpoint must be at {trained}, is not; the claim that its "
                "nodes mount must be the one that is mounted here"
            )
        time.sleep(0.5)
    with new_folder(out) as folder:
        shutil.copytree(trained, folder, dirs_exist_ok=True)
        history = read_json(folder / HISTORY_FILE, History)
        if read_json(folder / RECIPE_FILE, Recipe) != recipe:
            raise TrainingError(f"the checkpoint at {trained} must be of the recipe given, is of another; delete it")
    return history
