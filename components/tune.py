"""Component: the hyperparameter search, in the task itself or in Katib."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tune(
    studies: Input[Dataset],
    split: Input[Dataset],
    recipe: str,
    scratch: str,
    weights: str,
    tracking_uri: str,
    experiment: str,
    engine: str,
    cluster: str,
    search: Output[Artifact],
) -> None:
    """Search the recipe's search space; a killed search goes on where it was.

    Args:
        studies: From ingest.
        split: From split.
        recipe: A recipe's name, or YAML or JSON text.
        scratch: Folder that outlives the task: the trials so far are kept there.
        weights: File of initial weights; empty for those that the recipe names.
        tracking_uri: MLflow server that receives every trial.
        experiment: Experiment that the trials belong to.
        engine: "embedded" makes the trials in this task, "katib" makes each of them in a pod of its own.
        cluster: Where those pods run, as YAML or JSON text; empty for the defaults.
        search: The best recipe and all trials.
    """
    from pathlib import Path

    from cxr.contracts.cluster import resolve_cluster
    from cxr.contracts.resolve import resolve_recipe
    from cxr.steps.tune import tune

    tune(
        studies=Path(studies.path),
        split=Path(split.path),
        recipe=resolve_recipe(recipe),
        out=Path(search.path),
        scratch=Path(scratch),
        weights=Path(weights) if weights else None,
        tracking_uri=tracking_uri,
        experiment=experiment,
        engine=engine,
        cluster=resolve_cluster(cluster),
    )
