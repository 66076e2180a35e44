"""The folders of a run of an untrained network on noise, with lesion masks: what explain, package and predict read."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from cxr.contracts.bundle import PictureGate
from cxr.contracts.files import write_json
from cxr.contracts.studies import MASKS_FOLDER, StudyIndex
from cxr.modeling.checkpoint import Checkpoint
from cxr.steps.evaluate import evaluate
from cxr.steps.explain import explain
from cxr.steps.fit_drift import fit_drift
from cxr.steps.package import package
from support.checkpoints import write_random_checkpoint
from support.gates import write_open_gate
from support.synthetic_run import synthetic_run


@dataclass(frozen=True)
class SmallRun:
    """Folders by the names of the steps' arguments."""

    folder: Path
    model: Checkpoint
    index: StudyIndex

    def paths(self, *names: str) -> dict[str, Path]:
        return {name: self.folder / ("studies" if name == "split" else name) for name in names}

    def copy(self, folder: Path) -> "SmallRun":
        """A run that a test may spoil."""
        return SmallRun(Path(shutil.copytree(self.folder, folder)), self.model, self.index)


def write_small_run(folder: Path, studies: Path) -> SmallRun:
    """Run every step after training on noise studies; the corruption report is made up, the gate is open."""
    shutil.copytree(studies, folder / "studies")
    index = StudyIndex.read(folder / "studies")
    write_masks(folder / "studies", index)
    run = SmallRun(folder, write_random_checkpoint(folder / "checkpoint", index=index.digest), index)
    model = run.paths("studies", "split", "checkpoint")
    evaluate(**model, out=folder / "evaluation")
    report = msgspec.structs.replace(synthetic_run().robustness, model=run.model.digest, index=index.digest)
    write_json(folder / "robustness" / "robustness.json", report)
    explain(**model, evaluation=folder / "evaluation", out=folder / "explanation")
    fit_drift(**model, out=folder / "drift")
    write_open_gate(folder / "gate", checkpoint=run.model.digest, index=index.digest)
    reports = run.paths("evaluation", "robustness", "explanation", "drift", "gate")
    package(**model, **reports, out=folder / "bundle")
    return run


def bundle_with_gate(run: SmallRun, folder: Path, limits: PictureGate) -> Path:
    """The run's bundle with another gate, made in `folder`."""
    copied = run.copy(folder / "run")
    shutil.rmtree(copied.folder / "gate")
    write_open_gate(copied.folder / "gate", checkpoint=run.model.digest, index=run.index.digest, limits=limits)
    names = ("studies", "split", "checkpoint", "evaluation", "robustness", "explanation", "drift", "gate")
    package(**copied.paths(*names), out=folder / "bundle")
    return folder / "bundle"


def write_masks(studies: Path, index: StudyIndex) -> None:
    """A lesion in the upper left quarter of every pneumonia film; an empty mask for every tuberculosis film."""
    (studies / MASKS_FOLDER).mkdir()
    for film in index.films.itertuples():
        mask = np.zeros((film.height, film.width), np.uint8)
        if film.label == "Pneumonia":
            mask[: film.height // 2, : film.width // 2] = 255
        if film.label != "Normal":
            Image.fromarray(mask).save(studies / MASKS_FOLDER / f"{film.image_id}.png")
