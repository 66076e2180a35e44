"""Component: activation maps, and whether they point at the lesions."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def explain(
    studies: Input[Dataset],
    split: Input[Dataset],
    checkpoint: Input[Model],
    evaluation: Input[Artifact],
    explanation: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Draw activation maps of test films and score them against lesion masks.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        evaluation: From evaluate.
        explanation: Overlays and localisation scores.
        metrics: The pointing game and the energy inside the lesion.
    """
    from pathlib import Path

    from cxr.reporting.kubeflow import defined
    from cxr.steps.explain import explain

    report = explain(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        evaluation=Path(evaluation.path),
        out=Path(explanation.path),
    )
    shown = {"pointing_game": report.pointing_game, "energy_inside": report.energy_inside}
    metrics.metadata.update(defined(shown))
