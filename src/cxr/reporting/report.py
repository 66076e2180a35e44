"""Everything that a report is made of, gathered once: the page and the technical report are two views of it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxr.contracts.bundle import REPORTS_FOLDER, Bundle, read_bundle
from cxr.contracts.checkpoint import HISTORY_FILE, RECIPE_FILE, History
from cxr.contracts.crossval import Crossval, read_packed_crossval
from cxr.contracts.evaluated import read_predictions
from cxr.contracts.files import read_json
from cxr.contracts.ingest import INGEST_FILE, IngestReport
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
from cxr.contracts.recipe import Recipe
from cxr.contracts.registration import REGISTRATION_FILE, Registration
from cxr.contracts.search_report import SEARCH_FILE, SearchReport
from cxr.contracts.shortcuts import ShortcutReport, read_packed_shortcuts
from cxr.contracts.split import SPLIT_FILE, SplitReport
from cxr.contracts.studies import StudyIndex
from cxr.errors import ContractError
from cxr.reporting.abstention import Abstention, count_referred
from cxr.reporting.pictures import Picture, Sample, choose_samples, picture, read_pictures
from cxr.reporting.provenance import Drawn, drawn_films
from cxr.reporting.risk_figure import RISK_FIGURE


@dataclass(frozen=True, kw_only=True)
class RunFolders:
    """The folders that the steps of one run wrote."""

    studies: Path
    split: Path
    search: Path
    checkpoint: Path
    evaluation: Path
    robustness: Path
    explanation: Path
    bundle: Path
    registration: Path


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What the steps of one run wrote, read and checked to be of one model.

    Attributes:
        films: labelled ones of the study index, with `split` filled.
        index: digest of that index.
        abstention: of the evaluated split.
        pictures: section to figures; "training" is drawn by the report itself. A page draws "subgroups" anew.
    """

    films: pd.DataFrame
    index: str
    ingest: IngestReport
    split: SplitReport
    recipe: Recipe
    search: SearchReport
    history: History
    metrics: MetricsReport
    calibration: Calibration
    abstention: Abstention
    shortcuts: ShortcutReport | None
    unseen: Crossval | None
    robustness: RobustnessReport
    localisation: LocalisationReport
    bundle: Bundle
    registration: Registration
    pictures: dict[str, tuple[Picture, ...]]
    samples: tuple[Sample, ...]

    @property
    def drawn(self) -> Drawn:
        """How many of the test films are drawn, not taken."""
        return drawn_films(self.films)


def read_report_data(folders: RunFolders, *, training_figure: Path) -> ReportData:
    """Read everything that a report needs.

    Args:
        folders: of the run.
        training_figure: PNG of the training curves.

    Raises:
        ContractError: a file is missing or malformed, or the folders are not of one model.
        BundleError: the bundle is incomplete or changed.
    """
    index = StudyIndex.read(folders.split)
    films = index.films.dropna(subset=["label", "split"])
    metrics = read_json(folders.evaluation / METRICS_FILE, MetricsReport)
    calibration = read_json(folders.evaluation / CALIBRATION_FILE, Calibration)
    data = ReportData(
        films=films,
        index=index.digest,
        split=read_json(folders.split / SPLIT_FILE, SplitReport),
        ingest=read_json(folders.studies / INGEST_FILE, IngestReport),
        recipe=read_json(folders.checkpoint / RECIPE_FILE, Recipe),
        search=read_json(folders.search / SEARCH_FILE, SearchReport),
        history=read_json(folders.checkpoint / HISTORY_FILE, History),
        metrics=metrics,
        calibration=calibration,
        abstention=count_referred(
            read_predictions(folders.evaluation),
            split=metrics.split,
            findings=metrics.findings,
            refer_below=calibration.refer_below,
        ),
        shortcuts=read_packed_shortcuts(folders.bundle / REPORTS_FOLDER),
        unseen=read_packed_crossval(folders.bundle / REPORTS_FOLDER),
        robustness=read_json(folders.robustness / ROBUSTNESS_FILE, RobustnessReport),
        localisation=read_json(folders.explanation / LOCALISATION_FILE, LocalisationReport),
        bundle=read_bundle(folders.bundle),
        registration=read_json(folders.registration / REGISTRATION_FILE, Registration),
        pictures=_read_pictures(folders, training_figure),
        samples=tuple(choose_samples(films, folders.studies, metrics.findings)),
    )
    _check_one_model(data)
    return data


def _read_pictures(folders: RunFolders, training_figure: Path) -> dict[str, tuple[Picture, ...]]:
    evaluation = read_pictures(folders.evaluation)
    return {
        "search": read_pictures(folders.search),
        "training": (picture(training_figure),),
        "evaluation": tuple(figure for figure in evaluation if figure.name not in {"subgroups", RISK_FIGURE}),
        "abstention": tuple(figure for figure in evaluation if figure.name == RISK_FIGURE),
        "subgroups": tuple(figure for figure in evaluation if figure.name == "subgroups"),
        "robustness": read_pictures(folders.robustness),
        "explanation": read_pictures(folders.explanation),
    }


def _check_one_model(data: ReportData) -> None:
    """A report must not mix runs: every folder names the index, the checkpoint or the bundle that it is of."""
    checkpoint, bundle = data.bundle.manifest.provenance.checkpoint, data.bundle.digest
    named = (
        ("evaluation", "checkpoint", data.metrics.model, checkpoint),
        ("robustness", "checkpoint", data.robustness.model, checkpoint),
        ("explanation", "checkpoint", data.localisation.model, checkpoint),
        ("registration", "bundle", data.registration.bundle, bundle),
        ("search", "index", data.search.index, data.index),
        ("checkpoint", "index", data.history.index, data.index),
        ("evaluation", "index", data.metrics.index, data.index),
        ("robustness", "index", data.robustness.index, data.index),
        ("explanation", "index", data.localisation.index, data.index),
    )
    for folder, what, found, expected in named:
        if found != expected:
            raise ContractError(
                f"a report must be of one run: {folder} must be of {what} {expected[:12]}, is of {found[:12]}; "
                "run that step and those after it again"
            )
