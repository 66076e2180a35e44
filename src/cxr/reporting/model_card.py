"""The model card: what a bundle is for, what it is not for, how well it does, where it fails (Mitchell et al. 2019)."""

from collections.abc import Iterator

from cxr.contracts.bundle import BundleManifest
from cxr.contracts.metrics import LocalisationReport, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Recipe
from cxr.reporting.caveats import Caveat, localisation_caveats, metric_caveats, robustness_caveats
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
from cxr.reporting.provenance import is_phantom, provenance_table


def render_model_card(
    *,
    manifest: BundleManifest,
    metrics: MetricsReport,
    robustness: RobustnessReport,
    localisation: LocalisationReport,
    recipe: Recipe,
) -> str:
    """`MODEL_CARD.md` of a bundle, in Markdown.

    The bundle's own digest cannot be in it: it is the hash of `bundle.json`, which holds the hash of the card.
    `manifest.files` is not read, so the card can be written before the list of files is complete.
    """
    tables = (
        overall_table(metrics),
        per_class_table(metrics),
        confusion_table(metrics),
        operating_point_table(metrics, manifest.calibration),
        subgroup_table(metrics),
        preset_table(robustness),
        localisation_table(localisation),
        provenance_table(manifest.provenance, recipe),
    )
    return render_markdown(
        "model_card.md.j2",
        manifest=manifest,
        metrics=metrics,
        findings_text=_joined(manifest.findings),
        phantom=is_phantom(manifest.provenance.training_sources),
        tables={table.name: table for table in tables},
        caveats=tuple(_caveats(metrics, robustness, localisation)),
    )


def _caveats(
    metrics: MetricsReport, robustness: RobustnessReport, localisation: LocalisationReport
) -> Iterator[Caveat]:
    yield from metric_caveats(metrics)
    yield from robustness_caveats(robustness)
    yield from localisation_caveats(localisation)


def _joined(findings: tuple[str, ...]) -> str:
    return ", ".join(findings[:-1]) + f" and {findings[-1]}" if len(findings) > 1 else findings[0]
