"""Component: registration as challenger, and the gate's verdict."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    bundle: Input[Model],
    evaluation: Input[Artifact],
    search: Input[Artifact],
    studies: Input[Dataset],
    split: Input[Dataset],
    tracking_uri: str,
    model_name: str,
    experiment: str,
    registration: Output[Artifact],
) -> NamedTuple("Verdict", [("passed", bool)]):  # type: ignore[valid-type]
    """Register the bundle as challenger and put it through the promotion gate.

    Args:
        bundle: From package.
        evaluation: From evaluate.
        search: From tune.
        studies: From ingest; a champion of other test films is measured again on these.
        split: From split.
        tracking_uri: MLflow server with a model registry.
        model_name: Name of the registered model.
        experiment: Experiment that the run belongs to.
        registration: Which version the bundle became, and the verdict.

    Returns:
        passed: Whether the gate lets the bundle become champion, and be served.
    """
    from pathlib import Path

    from cxr.steps.register import register

    registered = register(
        bundle=Path(bundle.path),
        evaluation=Path(evaluation.path),
        search=Path(search.path),
        studies=Path(studies.path),
        split=Path(split.path),
        out=Path(registration.path),
        tracking_uri=tracking_uri,
        model_name=model_name,
        experiment=experiment,
    )
    return (registered.verdict.passed,)  # type: ignore[return-value]
