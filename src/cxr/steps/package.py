"""Package: everything that serving a model needs, in one folder with one identity."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cxr import __version__
from cxr.contracts.bundle import (
    BUNDLE_FILE,
    DRIFT_FOLDER,
    GATE_FOLDER,
    MODEL_CARD_FILE,
    MODEL_FILE,
    REPORTS_FOLDER,
    BundleManifest,
    Provenance,
)
from cxr.contracts.checkpoint import RECIPE_FILE, WEIGHTS_FILE
from cxr.contracts.crossval import CROSSVAL_FILE, Crossval
from cxr.contracts.drift import ARRAYS_FILE, REFERENCE_FILE, DriftReference
from cxr.contracts.files import file_digest, new_folder, read_json, value_digest, write_bytes, write_json
from cxr.contracts.gate import GATE_FILE, GATE_WEIGHTS_FILE, GateReport
from cxr.contracts.metrics import (
    CALIBRATION_FILE,
    LOCALISATION_FILE,
    METRICS_FILE,
    ROBUSTNESS_FILE,
    Calibration,
    LocalisationReport,
    MetricsReport,
    RobustnessReport,
)
from cxr.contracts.shortcuts import SHORTCUTS_FILE, ShortcutReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.drift.reference import read_reference
from cxr.errors import BundleError
from cxr.imaging.gate import read_gate
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint
from cxr.modeling.dataset import load_films
from cxr.modeling.export import CHECKED_BATCHES, check_onnx, export_onnx
from cxr.reporting.model_card import render_model_card

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What the other steps found out about the model."""

    trained_on: str
    metrics: MetricsReport
    calibration: Calibration
    robustness: RobustnessReport
    localisation: LocalisationReport
    drift: DriftReference
    gate: GateReport
    shortcuts: ShortcutReport | None
    unseen: Crossval | None
    initial_weights: str

    def check(self, *, checkpoint: str, index: str, recipe: str) -> None:
        """Raise `BundleError` unless all of them are of this checkpoint and this index, or of this recipe."""
        if self.unseen is not None and self.unseen.initial_weights != self.initial_weights:
            raise BundleError(
                f"crossval must have started from {self.initial_weights} weights as the checkpoint did, started from "
                f"{self.unseen.initial_weights}; run `cxr crossval` with the same --weights"
            )
        if self.unseen is not None and (self.unseen.recipe, self.unseen.index) != (recipe, index):
            raise BundleError(
                f"crossval must be of the checkpoint's recipe {recipe[:12]} and index {index[:12]}, is of "
                f"{self.unseen.recipe[:12]} and {self.unseen.index[:12]}; run `cxr crossval` with that recipe and split"
            )
        named = {
            "evaluation": (self.metrics.model, self.metrics.index),
            "robustness": (self.robustness.model, self.robustness.index),
            "explanation": (self.localisation.model, self.localisation.index),
            "training": (checkpoint, self.trained_on),
            "drift": (self.drift.checkpoint, self.drift.index),
            "gate": (self.gate.checkpoint, self.gate.index),
        }
        if self.shortcuts is not None:
            named["audit"] = (self.shortcuts.model, self.shortcuts.index)
        for name, (model, films) in named.items():
            if (model, films) != (checkpoint, index):
                raise BundleError(
                    f"a bundle must be of one model and one split: {name} must be of checkpoint {checkpoint[:12]} and "
                    f"index {index[:12]}, is of {model[:12]} and {films[:12]}; run that step again"
                )


def package(
    *,
    studies: Path,
    split: Path,
    checkpoint: Path,
    evaluation: Path,
    robustness: Path,
    explanation: Path,
    drift: Path,
    gate: Path,
    out: Path,
    audit: Path | None = None,
    crossval: Path | None = None,
) -> BundleManifest:
    """Export the network to ONNX, check it on test films, and write the bundle.

    The same checkpoint and reports give the same bundle, byte for byte, so that its digest is an identity that can be
    checked by building it again: it holds no date but that of the training. No film goes into it.

    Args:
        studies: images.
        split: index of the films.
        checkpoint: network and recipe.
        evaluation: its metrics and calibration.
        robustness: its report.
        explanation: its localisation report.
        drift: its reference.
        gate: what it refuses to look at.
        out: bundle to write, see `cxr.contracts.bundle`.
        audit: its shortcut audit; without one, card and report say that there was none, and the gate refuses the model
            unless `gate.shortcuts` lets every verdict pass.
        crossval: what other networks of its recipe say of sources that they never saw; card and report show it.

    Raises:
        ContractError: a folder is missing or malformed.
        BundleError: the folders are not of one model and one split, or the exported graph does not agree with it.
    """
    model = read_checkpoint(checkpoint)
    index = StudyIndex.read(split)
    parts = _Parts(
        trained_on=model.history.index,
        initial_weights=model.history.initial_weights,
        metrics=read_json(evaluation / METRICS_FILE, MetricsReport),
        calibration=read_json(evaluation / CALIBRATION_FILE, Calibration),
        robustness=read_json(robustness / ROBUSTNESS_FILE, RobustnessReport),
        localisation=read_json(explanation / LOCALISATION_FILE, LocalisationReport),
        drift=read_reference(drift)[1],
        gate=read_gate(gate)[1],
        shortcuts=None if audit is None else read_json(audit / SHORTCUTS_FILE, ShortcutReport),
        unseen=None if crossval is None else read_json(crossval / CROSSVAL_FILE, Crossval),
    )
    parts.check(checkpoint=model.digest, index=index.digest, recipe=value_digest(model.recipe))
    with new_folder(out) as folder:
        for name in (DRIFT_FOLDER, GATE_FOLDER, REPORTS_FOLDER):
            (folder / name).mkdir()
        for source, copy in {
            checkpoint / WEIGHTS_FILE: folder / WEIGHTS_FILE,
            checkpoint / RECIPE_FILE: folder / REPORTS_FOLDER / RECIPE_FILE,
            evaluation / METRICS_FILE: folder / REPORTS_FOLDER / METRICS_FILE,
            robustness / ROBUSTNESS_FILE: folder / REPORTS_FOLDER / ROBUSTNESS_FILE,
            explanation / LOCALISATION_FILE: folder / REPORTS_FOLDER / LOCALISATION_FILE,
            drift / ARRAYS_FILE: folder / DRIFT_FOLDER / ARRAYS_FILE,
            drift / REFERENCE_FILE: folder / DRIFT_FOLDER / REFERENCE_FILE,
            gate / GATE_WEIGHTS_FILE: folder / GATE_FOLDER / GATE_WEIGHTS_FILE,
            gate / GATE_FILE: folder / GATE_FOLDER / GATE_FILE,
        }.items():
            shutil.copyfile(source, copy)
        for found, name in ((audit, SHORTCUTS_FILE), (crossval, CROSSVAL_FILE)):
            if found is not None:
                shutil.copyfile(found / name, folder / REPORTS_FOLDER / name)
        manifest = _write_model(folder, model, parts, index, studies)
    logger.info("bundle packed", extra={"files": len(manifest.files), "checkpoint": model.digest})
    return manifest


def _write_model(folder: Path, model: Checkpoint, parts: _Parts, index: StudyIndex, studies: Path) -> BundleManifest:
    """Write graph, model card and manifest into a folder that holds everything else."""
    recipe = model.recipe
    inputs, *outputs = export_onnx(
        model.network,
        folder / MODEL_FILE,
        side=recipe.preprocessing.size,
        metadata={"checkpoint": model.digest, "findings": ",".join(model.findings)},
    )
    shown = StudyIndex(index.part(Split.TEST).films.head(max(CHECKED_BATCHES)))
    check_onnx(folder / MODEL_FILE, model.network, load_films(studies, shown, recipe.preprocessing).films)
    manifest = BundleManifest(
        architecture=recipe.model.architecture,
        findings=model.findings,
        preprocessing=recipe.preprocessing,
        calibration=parts.calibration,
        out_of_distribution=parts.drift.out_of_distribution,
        gate=parts.gate.limits,
        inputs=(inputs,),
        outputs=tuple(outputs),
        provenance=_provenance(model, index),
        files={},
    )
    card = render_model_card(
        manifest=manifest,
        metrics=parts.metrics,
        robustness=parts.robustness,
        localisation=parts.localisation,
        shortcuts=parts.shortcuts,
        unseen=parts.unseen,
        recipe=recipe,
        history=model.history,
        films=index.films,
    )
    write_bytes(folder / MODEL_CARD_FILE, card.encode())
    files = {
        path.relative_to(folder).as_posix(): file_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    manifest = msgspec.structs.replace(manifest, files=files)
    write_json(folder / BUNDLE_FILE, manifest)
    return manifest


def _provenance(model: Checkpoint, index: StudyIndex) -> Provenance:
    training = index.part(Split.TRAIN).films
    return Provenance(
        created=model.history.finished,
        cxr_version=__version__,
        index=index.digest,
        checkpoint=model.digest,
        recipe=value_digest(model.recipe),
        training_films=len(training),
        training_sources=tuple(sorted(training["source"].dropna().unique())),
        initial_weights=model.history.initial_weights,
    )
