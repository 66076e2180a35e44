"""Component: the shortcut audit."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def audit_shortcuts(
    studies: Input[Dataset],
    split: Input[Dataset],
    checkpoint: Input[Model],
    evaluation: Input[Artifact],
    audit: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Ask whether the model decides by source, by what lies outside of the lungs or by what lies on the film.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        evaluation: From evaluate.
        audit: Every figure with its interval, and the verdict with reasons.
        metrics: The model's AUROC with each part of the films hidden, and the verdict.
    """
    from pathlib import Path

    from cxr.reporting.shortcut_tables import shown_metrics
    from cxr.steps.audit_shortcuts import audit_shortcuts

    report = audit_shortcuts(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        evaluation=Path(evaluation.path),
        out=Path(audit.path),
    )
    metrics.metadata.update(shown_metrics(report))
