"""Everything that a report says, gathered once: the page and the technical report are two views of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxr.contracts.bundle import Bundle, read_bundle
from cxr.contracts.checkpoint import HISTORY_FILE, RECIPE_FILE, History
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
from cxr.contracts.resolve import recipe_yaml
from cxr.contracts.search_report import SEARCH_FILE, SearchReport
from cxr.contracts.split import SPLIT_FILE, SplitReport
from cxr.contracts.studies import StudyIndex
from cxr.errors import ContractError
from cxr.reporting import narrative
from cxr.reporting.abstention import Abstention, count_referred
from cxr.reporting.caveats import (
    Caveat,
    data_caveats,
    localisation_caveats,
    metric_caveats,
    robustness_caveats,
    training_caveats,
)
from cxr.reporting.cohort import attribute_table, guess_from_source, source_table, split_table
from cxr.reporting.forest import Forest, subgroup_forest
from cxr.reporting.ingest_tables import ingestion_summary, ingestion_table, rejection_table
from cxr.reporting.key_figures import ANCESTOR_NOTE, KeyFigure, key_figure_table, key_figures
from cxr.reporting.metric_tables import (
    confusion_table,
    corruption_table,
    localisation_table,
    operating_point_table,
    overall_table,
    per_class_table,
    preset_table,
    subgroup_table,
)
from cxr.reporting.pictures import Picture, Sample, choose_samples, picture, read_pictures
from cxr.reporting.provenance import is_phantom, provenance_table, software_table
from cxr.reporting.run_tables import (
    best_recipe_table,
    epochs_table,
    gate_table,
    importance_table,
    trials_table,
)
from cxr.reporting.tables import Table

PHANTOMS = Caveat(
    title="Phantoms, not patients",
    text="The films are drawn by the project itself: the figures show that the pipeline works, and no more.",
    serious=True,
)
NO_OUTSIDE_TEST = Caveat(
    title="No outside test",
    text=(
        "Test films come from the same sources as the training films; on other sources expect less. The command "
        "cxr evaluate measures a bundle on any other films."
    ),
)


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
    robustness: RobustnessReport
    localisation: LocalisationReport
    bundle: Bundle
    registration: Registration
    pictures: dict[str, tuple[Picture, ...]]
    samples: tuple[Sample, ...]

    @property
    def phantom(self) -> bool:
        """The films are drawn, not taken."""
        return is_phantom(self.bundle.manifest.provenance.training_sources)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report says, in the order of its sections; `tables` by their names."""

    title: str
    created: str
    version: str
    accepted: bool
    words: dict[str, str]
    key_figures: tuple[KeyFigure, ...]
    tables: dict[str, Table]
    forest: Forest | None
    caveats: tuple[Caveat, ...]
    pictures: dict[str, tuple[Picture, ...]]
    samples: tuple[Sample, ...]
    recipe: str


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
    evaluation = read_pictures(folders.evaluation)
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
        robustness=read_json(folders.robustness / ROBUSTNESS_FILE, RobustnessReport),
        localisation=read_json(folders.explanation / LOCALISATION_FILE, LocalisationReport),
        bundle=read_bundle(folders.bundle),
        registration=read_json(folders.registration / REGISTRATION_FILE, Registration),
        pictures={
            "search": read_pictures(folders.search),
            "training": (picture(training_figure),),
            "evaluation": tuple(figure for figure in evaluation if figure.name != "subgroups"),
            "subgroups": tuple(figure for figure in evaluation if figure.name == "subgroups"),
            "robustness": read_pictures(folders.robustness),
            "explanation": read_pictures(folders.explanation),
        },
        samples=tuple(choose_samples(films, folders.studies, metrics.findings)),
    )
    _check_one_model(data)
    return data


def compose_report(data: ReportData) -> Report:
    """Every sentence, table and limit of the report."""
    provenance = data.bundle.manifest.provenance
    figures = key_figures(
        manifest=data.bundle.manifest,
        metrics=data.metrics,
        robustness=data.robustness,
        localisation=data.localisation,
    )
    tables = (key_figure_table(figures), *_tables(data))
    return Report(
        title=narrative.title(data.metrics.findings),
        created=narrative.moment(provenance.created),
        version=provenance.cxr_version,
        accepted=data.registration.verdict.passed,
        words=_words(data),
        key_figures=figures,
        tables={table.name: table for table in tables},
        forest=subgroup_forest(data.metrics),
        caveats=tuple(sorted(_caveats(data), key=lambda caveat: not caveat.serious)),
        pictures=data.pictures,
        samples=data.samples,
        recipe=recipe_yaml(data.recipe),
    )


def _words(data: ReportData) -> dict[str, str]:
    manifest, metrics = data.bundle.manifest, data.metrics
    provenance = manifest.provenance
    return {
        "summary": narrative.summary(
            manifest.architecture, provenance.training_films, provenance.training_sources, metrics
        ),
        "verdict": narrative.verdict(data.registration),
        "ancestor": ANCESTOR_NOTE,
        "purpose": narrative.purpose(metrics.findings),
        "data": ingestion_summary(data.ingest),
        "split": narrative.split_summary(data.split),
        "source_guess": narrative.source_guess(guess_from_source(data.films)),
        "search": narrative.search_summary(data.search),
        "training": narrative.training_summary(data.history),
        "triage": narrative.triage(metrics, data.calibration),
        "abstention": narrative.abstention(data.abstention, data.calibration.refer_below),
        "localisation": narrative.localisation_summary(data.localisation),
        "registration": narrative.registration_summary(data.registration),
    }


def _tables(data: ReportData) -> Iterator[Table]:
    metrics, manifest = data.metrics, data.bundle.manifest
    yield split_table(data.films, metrics.findings)
    yield source_table(data.films, metrics.findings)
    yield attribute_table(data.films, metrics.findings)
    yield ingestion_table(data.ingest)
    if data.ingest.rejected:
        yield rejection_table(data.ingest)
    if data.search.best is not None:
        yield best_recipe_table(data.search)
        yield trials_table(data.search)
    if data.search.importance:
        yield importance_table(data.search.importance)
    yield epochs_table(data.history)
    yield overall_table(metrics)
    yield per_class_table(metrics)
    yield confusion_table(metrics)
    yield operating_point_table(metrics, data.calibration)
    yield subgroup_table(metrics)
    yield preset_table(data.robustness)
    yield corruption_table(data.robustness, "accuracy_drop")
    yield corruption_table(data.robustness, "macro_auroc_drop")
    yield localisation_table(data.localisation)
    yield gate_table(data.recipe.gate, metrics, data.robustness)
    yield provenance_table(manifest.provenance, data.recipe, bundle=data.bundle.digest)
    yield software_table()


def _caveats(data: ReportData) -> Iterator[Caveat]:
    if data.phantom:
        yield PHANTOMS
    yield from data_caveats(data.films, data.metrics.findings)
    yield from metric_caveats(data.metrics)
    yield from robustness_caveats(data.robustness)
    yield from localisation_caveats(data.localisation)
    yield from training_caveats(data.history, data.recipe)
    yield NO_OUTSIDE_TEST


def _check_one_model(data: ReportData) -> None:
    """A report must not mix runs: every folder names the index, the checkpoint or the bundle that it is of."""
    checkpoint, bundle = data.bundle.manifest.provenance.checkpoint, data.bundle.digest
    named = (
        ("evaluation", "checkpoint", data.metrics.model, checkpoint),
        ("robustness", "checkpoint", data.robustness.model, checkpoint),
        ("registration", "bundle", data.registration.bundle, bundle),
        ("search", "index", data.search.index, data.index),
        ("checkpoint", "index", data.history.index, data.index),
        ("evaluation", "index", data.metrics.index, data.index),
        ("robustness", "index", data.robustness.index, data.index),
    )
    for folder, what, found, expected in named:
        if found != expected:
            raise ContractError(
                f"a report must be of one run: {folder} must be of {what} {expected[:12]}, is of {found[:12]}; "
                "run that step and those after it again"
            )
