"""Train: from split studies and a recipe to a checkpoint."""

import shutil
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from cxr.contracts.checkpoint import Epoch, History
from cxr.contracts.cluster import Cluster
from cxr.contracts.recipe import Recipe
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.errors import TrainingError
from cxr.modeling.checkpoint import write_checkpoint
from cxr.modeling.dataset import load_films
from cxr.modeling.distributed import launch, own_processes, processes
from cxr.modeling.fit import fit
from cxr.progress import metrics
from cxr.steps.resuming import check_weights, state_key

Mode = Literal["pod", "trainjob"]


def train(
    *,
    studies: Path,
    split: Path,
    recipe: Recipe,
    out: Path,
    scratch: Path,
    weights: Path | None = None,
    device: str | None = None,
    mode: str = "pod",
    cluster: Cluster | None = None,
) -> History:
    """Train the recipe's network and write a checkpoint folder.

    Killed at any point and called again with the same arguments, it goes on after the last finished epoch and gives
    the same weights as an uninterrupted run, bit for bit on a CPU. Where there are several GPUs it trains on all of
    them, a process for each. Under torchrun every process calls it and the first one writes.

    Args:
        studies: images.
        split: index whose training films are learnt and whose validation films choose the best epoch.
        recipe: what to train and how.
        out: checkpoint folder to write.
        scratch: decoded films and the state after every epoch are kept there; must outlive the process.
        weights: file of initial weights instead of ImageNet's.
        device: "cpu", "cuda", …; all GPUs, or the CPU, when None. A TrainJob has the GPUs of its nodes.
        mode: "pod" trains here, "trainjob" on the nodes of a TrainJob: see `cxr.steps.cluster.training`.
        cluster: where a TrainJob runs; the defaults when None.

    Raises:
        ContractError: the index or an image is missing or malformed.
        ClusterError: the cluster cannot be reached or refuses.
        TrainingError: there is no such mode, labels are missing, the weights do not fit, or training diverged.
    """
    if mode not in get_args(Mode):
        raise TrainingError(f"the mode of a training must be one of {', '.join(get_args(Mode))}, is {mode!r}")
    check_weights(weights)
    if mode == "trainjob":
        from cxr.steps.cluster.training import train_in_cluster

        return train_in_cluster(
            studies=studies,
            split=split,
            recipe=recipe,
            out=out,
            scratch=scratch,
            weights=weights,
            cluster=cluster or Cluster(),
            key=state_key(recipe, StudyIndex.read(split), weights),
        )
    here = partial(
        _train, studies=studies, split=split, recipe=recipe, out=out, scratch=scratch, weights=weights, device=device
    )
    count = own_processes(device)
    return here() if count == 1 else launch(here, count=count)


def _train(
    *, studies: Path, split: Path, recipe: Recipe, out: Path, scratch: Path, weights: Path | None, device: str | None
) -> History:
    """Train in this process, with those that torchrun started beside it."""
    index = StudyIndex.read(split)
    with processes(device) as (place, chosen):
        if not place.first:
            place.wait()
        train_films = load_films(studies, index.part(Split.TRAIN), recipe.preprocessing, scratch=scratch)
        validation = load_films(studies, index.part(Split.VALIDATION), recipe.preprocessing, scratch=scratch)
        if place.first:
            place.wait()
        state = scratch / f"train-{state_key(recipe, index, weights)}"
        fitted = fit(
            recipe=recipe,
            train=train_films,
            validation=validation,
            device=chosen,
            scratch=state,
            weights=weights,
            on_epoch=_tell if place.first else None,
            processes=place,
            index=index.digest,
        )
        if place.first:
            findings = tuple(TAXONOMY)
            write_checkpoint(out, network=fitted.network, recipe=recipe, findings=findings, history=fitted.history)
            shutil.rmtree(state, ignore_errors=True)
    return fitted.history


def _tell(epoch: Epoch) -> bool:
    """The objective after an epoch, for a process that reads this one's output; never stops the training."""
    metrics(epoch=epoch.epoch, validation_macro_auroc=epoch.validation_macro_auroc)
    return False
