"""Component: the bundle that is served."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def package(
    studies: Input[Dataset],
    split: Input[Dataset],
    checkpoint: Input[Model],
    evaluation: Input[Artifact],
    robustness: Input[Artifact],
    explanation: Input[Artifact],
    drift: Input[Artifact],
    gate: Input[Artifact],
    audit: Input[Artifact],
    bundle: Output[Model],
) -> None:
    """Export the network and pack everything that serving needs.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        evaluation: From evaluate.
        robustness: From robustness.
        explanation: From explain.
        drift: From fit_drift.
        gate: From fit_gate.
        audit: From audit_shortcuts.
        bundle: The one folder that is served.
    """
    from pathlib import Path

    from cxr.steps.package import package

    package(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        evaluation=Path(evaluation.path),
        robustness=Path(robustness.path),
        explanation=Path(explanation.path),
        drift=Path(drift.path),
        gate=Path(gate.path),
        audit=Path(audit.path),
        out=Path(bundle.path),
    )
