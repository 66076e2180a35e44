"""Component: the gate that refuses what is no upright frontal chest film."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fit_gate(studies: Input[Dataset], split: Input[Dataset], checkpoint: Input[Model], gate: Output[Artifact]) -> None:
    """Fit the gate before the network.

    Args:
        studies: From ingest.
        split: From split.
        checkpoint: From train.
        gate: Fitted on training films and on pictures made of them; limits from validation films.
    """
    from pathlib import Path

    from cxr.steps.fit_gate import fit_gate

    fit_gate(
        studies=Path(studies.path),
        split=Path(split.path),
        checkpoint=Path(checkpoint.path),
        out=Path(gate.path),
    )
