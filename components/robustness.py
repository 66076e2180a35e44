"""Component: the evaluation under graded corruptions."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def robustness(
    studies: Input[Dataset],
    split: Input[Dataset],
    checkpoint: Input[Model],
    evaluation: Input[Artifact],
    robustness: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Measure accuracy and AUROC of corrupted test films.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        evaluation: From evaluate.
        robustness: Corruptions of the recipe's severities and of the clinical preset, with drops against clean films.
        metrics: The drops under each preset.
    """
    from pathlib import Path

    from cxr.reporting.kubeflow import defined
    from cxr.steps import robustness as step

    report = step.robustness(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        evaluation=Path(evaluation.path),
        out=Path(robustness.path),
    )
    for preset, estimates in report.presets.items():
        metrics.metadata.update(defined(estimates, prefix=f"{preset}_"))
