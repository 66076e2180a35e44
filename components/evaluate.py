"""Component: the evaluation on the test split."""

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    studies: Input[Dataset],
    split: Input[Dataset],
    checkpoint: Input[Model],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    triage: Output[ClassificationMetrics],
) -> None:
    """Calibrate on validation films and measure on test films.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        evaluation: Metrics with confidence intervals, calibration, predictions and figures.
        metrics: The overall metrics.
        classification: The confusion matrix.
        triage: The ROC curve of tuberculosis against the rest.
    """
    from pathlib import Path

    from cxr.reporting.kubeflow import defined, roc_points
    from cxr.steps.evaluate import evaluate

    report = evaluate(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        out=Path(evaluation.path),
    )
    metrics.metadata.update(defined(report.overall))
    classification.log_confusion_matrix(list(report.findings), list(report.confusion))
    triage.log_roc_curve(*roc_points(Path(evaluation.path), finding="Tuberculosis"))
