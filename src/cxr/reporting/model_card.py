"""The model card: what a bundle is for, what it is not for, how well it does, where it fails (Mitchell et al. 2019)."""

import pandas as pd

from cxr.contracts.bundle import BundleManifest
from cxr.contracts.checkpoint import History
from cxr.contracts.crossval import Crossval
from cxr.contracts.metrics import LocalisationReport, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Recipe
from cxr.contracts.shortcuts import ShortcutReport
from cxr.domain import Split
from cxr.modeling.phantoms import phantoms_beside
from cxr.reporting import narrative
from cxr.reporting.caveats import model_caveats, serious_first
from cxr.reporting.checklists import claim_table, stard_ai_table
from cxr.reporting.cohort import training_source_table
from cxr.reporting.markdown import render_markdown
from cxr.reporting.metric_tables import (
    confusion_table,
    localisation_table,
    operating_point_table,
    overall_table,
    per_class_table,
    preset_table,
    subgroup_table,
)
from cxr.reporting.provenance import phantom_caveat, provenance_table
from cxr.reporting.shortcut_tables import shortcut_tables, shortcut_words
from cxr.reporting.uncertainty_tables import gap_table, prediction_set_table, selective_table
from cxr.reporting.unseen_tables import outside_caveat, unseen_tables, unseen_words


def render_model_card(
    *,
    manifest: BundleManifest,
    metrics: MetricsReport,
    robustness: RobustnessReport,
    localisation: LocalisationReport,
    recipe: Recipe,
    history: History,
    films: pd.DataFrame,
    shortcuts: ShortcutReport | None,
    unseen: Crossval | None,
) -> str:
    """`MODEL_CARD.md` of a bundle, in Markdown.

    The bundle's own digest cannot be in it: it is the hash of `bundle.json`, which holds the hash of the card.
    `manifest.files` is not read, so the card can be written before the list of files is complete.

    Args:
        manifest: of the bundle.
        metrics: of the test films.
        robustness: likewise.
        localisation: likewise.
        recipe: that made the model.
        history: of its training.
        films: of the study index, with `split` filled.
        shortcuts: audit of the model; None where there was none.
        unseen: likewise, other networks of the recipe on sources that they never saw.
    """
    tables = (
        training_source_table(films[films["split"] == Split.TRAIN], manifest.findings),
        overall_table(metrics),
        per_class_table(metrics),
        confusion_table(metrics),
        operating_point_table(metrics, manifest.calibration),
        subgroup_table(metrics),
        preset_table(robustness),
        localisation_table(localisation),
        selective_table(metrics, manifest.calibration),
        prediction_set_table(metrics, manifest.calibration),
        gap_table(metrics),
        *(shortcut_tables(shortcuts) if shortcuts else ()),
        *(unseen_tables(unseen) if unseen else ()),
        provenance_table(manifest.provenance, recipe),
        claim_table(),
        stard_ai_table(),
    )
    return render_markdown(
        "model_card.md.j2",
        manifest=manifest,
        metrics=metrics,
        recipe=recipe,
        findings_text=_joined(manifest.findings),
        phantoms=phantom_caveat(films),
        phantoms_beside=phantoms_beside(recipe.sampling, manifest.provenance.training_sources),
        tables={table.name: table for table in tables if table},
        prediction_sets=narrative.prediction_sets(metrics, recipe.gate),
        shortcuts=shortcut_words(shortcuts),
        unseen=unseen_words(unseen),
        outside=outside_caveat(unseen),
        gaps=narrative.gaps(metrics, limit=recipe.evaluation.subgroup_gap),
        caveats=serious_first(
            model_caveats(
                films=films,
                recipe=recipe,
                history=history,
                metrics=metrics,
                calibration=manifest.calibration,
                robustness=robustness,
                localisation=localisation,
            )
        ),
    )


def _joined(findings: tuple[str, ...]) -> str:
    return ", ".join(findings[:-1]) + f" and {findings[-1]}" if len(findings) > 1 else findings[0]
