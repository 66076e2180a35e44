"""Report: one page and one technical report from what all steps of a run wrote."""

import logging
import shutil
from pathlib import Path

from cxr.contracts.bundle import BUNDLE_FILE, REPORTS_FOLDER
from cxr.contracts.checkpoint import HISTORY_FILE, History
from cxr.contracts.crossval import CROSSVAL_FILE
from cxr.contracts.files import new_folder, read_json, write_bytes
from cxr.contracts.ingest import INGEST_FILE
from cxr.contracts.run_folders import REPORT_FILE, TECHNICAL_REPORT_FILE
from cxr.contracts.shortcuts import SHORTCUTS_FILE
from cxr.contracts.split import SPLIT_FILE
from cxr.reporting.composition import compose_report
from cxr.reporting.html import render_html
from cxr.reporting.report import RunFolders, read_report_data
from cxr.reporting.technical_report import render_technical_report
from cxr.reporting.training_figures import draw_training

logger = logging.getLogger(__name__)


def report(
    *,
    studies: Path,
    split: Path,
    search: Path,
    checkpoint: Path,
    evaluation: Path,
    robustness: Path,
    explanation: Path,
    bundle: Path,
    registration: Path,
    out: Path,
) -> None:
    """Write `report.html` (one self-contained page), `TECHNICAL_REPORT.md`, `figures/` and `metrics/`.

    Args:
        studies: images and what ingestion said.
        split: index with the parts.
        search: what the search found.
        checkpoint: recipe and history.
        evaluation: metrics, calibration, predictions and figures.
        robustness: the grid of corruptions.
        explanation: activation maps and localisation scores.
        bundle: what is served.
        registration: what the registry was told, with the verdict of the gate.
        out: folder to write.

    Raises:
        ContractError: a file is missing or malformed, or the folders are not of one model.
        BundleError: the bundle is incomplete or changed.
    """
    folders = RunFolders(
        studies=studies,
        split=split,
        search=search,
        checkpoint=checkpoint,
        evaluation=evaluation,
        robustness=robustness,
        explanation=explanation,
        bundle=bundle,
        registration=registration,
    )
    with new_folder(out) as draft:
        training_figure = draft / "figures" / "training.png"
        training_figure.parent.mkdir()
        draw_training(read_json(checkpoint / HISTORY_FILE, History)).savefig(training_figure)
        data = read_report_data(folders, training_figure=training_figure)
        for picture in (picture for section in data.pictures.values() for picture in section):
            if picture.path != training_figure:
                shutil.copyfile(picture.path, draft / "figures" / picture.path.name)
        _copy_metrics(folders, draft / "metrics")
        composed = compose_report(data)
        write_bytes(draft / REPORT_FILE, render_html(composed).encode())
        write_bytes(draft / TECHNICAL_REPORT_FILE, render_technical_report(composed).encode())
    logger.info("report written", extra={"page": str(out / REPORT_FILE)})


def _copy_metrics(folders: RunFolders, target: Path) -> None:
    """Every JSON and CSV with figures, under its own name; never rows of single films."""
    target.mkdir()
    for folder in (
        folders.search,
        folders.checkpoint,
        folders.evaluation,
        folders.robustness,
        folders.explanation,
        folders.registration,
    ):
        for path in sorted([*folder.glob("*.json"), *folder.glob("*.csv")]):
            shutil.copyfile(path, target / path.name)
    packed = folders.bundle / REPORTS_FOLDER
    for path in (path for name in (SHORTCUTS_FILE, CROSSVAL_FILE) if (path := packed / name).exists()):
        shutil.copyfile(path, target / path.name)
    for path in (folders.studies / INGEST_FILE, folders.split / SPLIT_FILE, folders.bundle / BUNDLE_FILE):
        shutil.copyfile(path, target / path.name)
