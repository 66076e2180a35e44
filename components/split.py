"""Component: the patient-grouped split."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def split(studies: Input[Dataset], recipe: str, split: Output[Dataset]) -> None:
    """Split the studies by patient, stratified by class and source.

    Args:
        studies: From ingest.
        recipe: A recipe's name, or YAML or JSON text.
        split: The index with every film's split, and the leave-one-source-out folds.
    """
    from pathlib import Path

    from cxr.contracts.resolve import resolve_recipe
    from cxr.steps import split as step

    step.split(studies=Path(studies.path), out=Path(split.path), recipe=resolve_recipe(recipe))
