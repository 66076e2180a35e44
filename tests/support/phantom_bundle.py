"""A small network that has really learned phantoms, packed as a bundle: what the service's tests serve."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from cxr.contracts.resolve import resolve_recipe
from cxr.steps.evaluate import evaluate
from cxr.steps.explain import explain
from cxr.steps.fit_drift import fit_drift
from cxr.steps.fit_gate import fit_gate
from cxr.steps.ingest import ingest
from cxr.steps.package import package
from cxr.steps.robustness import robustness
from cxr.steps.split import split
from cxr.steps.train import train

CHANGES = (
    "model.architecture=resnet18", "preprocessing.size=64", "preprocessing.stored_side=128", "schedule.epochs=3",
    "schedule.batch_size=16", "evaluation.severities=[3]", "evaluation.resamples=100",
)  # fmt: skip
FILMS = 150


@dataclass(frozen=True)
class PhantomRun:
    """Folders of a run; `bundle` is another bundle in every respect when the seed is another."""

    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def films(self) -> list[Path]:
        """Drawn films, as the ingested studies keep them."""
        return sorted((self.folder / "studies" / "images").glob("*.png"))

    def other_bundle(self, folder: Path) -> Path:
        """The same model under another digest: its card has one more line."""
        from cxr.contracts.bundle import BUNDLE_FILE, MODEL_CARD_FILE, BundleManifest
        from cxr.contracts.files import file_digest, read_json, write_json

        shutil.copytree(self.bundle, folder)
        card = folder / MODEL_CARD_FILE
        card.write_text(card.read_text() + "\nAnother version.\n")
        manifest = read_json(folder / BUNDLE_FILE, BundleManifest)
        manifest.files[MODEL_CARD_FILE] = file_digest(card)
        write_json(folder / BUNDLE_FILE, manifest)
        return folder


def write_phantom_run(folder: Path) -> PhantomRun:
    """Draw, train and pack; about half a minute on one core."""
    recipe = resolve_recipe("demo", CHANGES)
    films = {"studies": folder / "studies", "split": folder / "split"}
    ingest(data=f"phantom:{FILMS}", out=films["studies"], recipe=recipe, workers=1)
    split(studies=films["studies"], out=films["split"], recipe=recipe)
    train(**films, recipe=recipe, out=folder / "checkpoint", scratch=folder / "scratch", device="cpu")
    model = {**films, "checkpoint": folder / "checkpoint"}
    measured = {name: folder / name for name in ("evaluation", "robustness", "explanation")}
    evaluate(**model, out=measured["evaluation"])
    robustness(**model, evaluation=measured["evaluation"], out=measured["robustness"])
    explain(**model, evaluation=measured["evaluation"], out=measured["explanation"])
    fit_drift(**model, out=folder / "drift")
    fit_gate(**model, out=folder / "gate")
    package(**model, **measured, drift=folder / "drift", gate=folder / "gate", out=folder / "bundle")
    return PhantomRun(folder)
