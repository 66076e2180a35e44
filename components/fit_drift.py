"""Component: the reference that live films are compared with."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fit_drift(
    studies: Input[Dataset], split: Input[Dataset], checkpoint: Input[Model], drift: Output[Artifact]
) -> None:
    """Fit the drift and out-of-distribution reference.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        drift: Components fitted on training films, and the reference set from validation films.
    """
    from pathlib import Path

    from cxr.steps.fit_drift import fit_drift

    fit_drift(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        out=Path(drift.path),
    )
