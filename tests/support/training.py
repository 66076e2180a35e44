"""Trainings on noise: their films, killing them, and comparing what they end with."""

from pathlib import Path

import torch

from cxr.contracts.checkpoint import Epoch
from cxr.contracts.recipe import Preprocessing
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.fit import EpochWatcher, Fitted


def training_parts(studies: Path) -> tuple[FilmArray, FilmArray]:
    """Training and validation films of a studies folder, 32 px."""
    index = StudyIndex.read(studies)
    train, validation = (
        load_films(studies, index.part(part), Preprocessing(size=32)) for part in (Split.TRAIN, Split.VALIDATION)
    )
    return train, validation


def killed_after(epochs: int) -> EpochWatcher:
    """Ends a training in the next epoch, after it but before its state is saved: the worst moment."""

    def kill(epoch: Epoch) -> bool:
        if epoch.epoch > epochs:
            raise KeyboardInterrupt
        return False

    return kill


def same(first: Fitted, second: Fitted) -> bool:
    """Whether two trainings ended with the same weights, bit for bit."""
    mine, theirs = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)
