"""What a report says: its sentences, tables, figures and limits, before any markup."""

from collections.abc import Iterator
from dataclasses import dataclass

from cxr.contracts.resolve import recipe_yaml
from cxr.reporting import narrative
from cxr.reporting.caveats import Caveat, model_caveats, serious_first
from cxr.reporting.checklists import claim_table, stard_ai_table
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
from cxr.reporting.pictures import Picture, Sample
from cxr.reporting.provenance import phantom_caveat, provenance_table, software_table
from cxr.reporting.report import ReportData
from cxr.reporting.run_tables import (
    best_recipe_table,
    epochs_table,
    gate_table,
    importance_table,
    trials_table,
)
from cxr.reporting.shortcut_tables import shortcut_tables, shortcut_words
from cxr.reporting.tables import Table
from cxr.reporting.uncertainty_tables import gap_table, prediction_set_table, selective_table
from cxr.reporting.unseen_tables import outside_caveat, unseen_tables, unseen_words


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


def compose_report(data: ReportData) -> Report:
    """Every sentence, table and limit of the report."""
    provenance = data.bundle.manifest.provenance
    figures = key_figures(
        manifest=data.bundle.manifest,
        metrics=data.metrics,
        robustness=data.robustness,
        localisation=data.localisation,
        drawn=data.drawn,
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
        caveats=serious_first(_caveats(data)),
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
        "prediction_sets": narrative.prediction_sets(metrics, data.recipe.gate),
        "gaps": narrative.gaps(metrics, limit=data.recipe.evaluation.subgroup_gap),
        "shortcuts": shortcut_words(data.shortcuts),
        "unseen": unseen_words(data.unseen),
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
    uncertain = (selective_table(metrics, data.calibration), prediction_set_table(metrics, data.calibration))
    yield from (table for table in (*uncertain, gap_table(metrics)) if table)
    yield subgroup_table(metrics)
    if data.shortcuts:
        yield from shortcut_tables(data.shortcuts)
    if data.unseen:
        yield from unseen_tables(data.unseen)
    yield preset_table(data.robustness)
    yield corruption_table(data.robustness, "accuracy_drop")
    yield corruption_table(data.robustness, "macro_auroc_drop")
    yield localisation_table(data.localisation)
    yield gate_table(data.recipe.gate, metrics, data.robustness, data.shortcuts)
    yield provenance_table(manifest.provenance, data.recipe, bundle=data.bundle.digest)
    yield software_table()
    yield claim_table()
    yield stard_ai_table()


def _caveats(data: ReportData) -> Iterator[Caveat]:
    if caveat := phantom_caveat(data.films):
        yield caveat
    yield from model_caveats(
        films=data.films,
        recipe=data.recipe,
        history=data.history,
        metrics=data.metrics,
        calibration=data.calibration,
        robustness=data.robustness,
        localisation=data.localisation,
    )
    yield outside_caveat(data.unseen)
