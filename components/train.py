"""Component: training."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    studies: Input[Dataset],
    split: Input[Dataset],
    search: Input[Artifact],
    scratch: str,
    weights: str,
    mode: str,
    cluster: str,
    checkpoint: Output[Model],
) -> None:
    """Train the best recipe of the search; a killed training goes on after its last epoch.

    Args:
        studies: From ingest.
        split: From split.
        search: From tune.
        scratch: Folder that outlives the task: decoded films and the state after every epoch are kept there.
        weights: File of initial weights; empty for those that the recipe names.
        mode: "pod" trains in this task, on all of its GPUs; "trainjob" on the nodes of a TrainJob.
        cluster: Where that runs, as YAML or JSON text; empty for the defaults.
        checkpoint: The trained network with its recipe and history.
    """
    from pathlib import Path

    from cxr.contracts.checkpoint import RECIPE_FILE
    from cxr.contracts.cluster import resolve_cluster
    from cxr.contracts.files import read_json
    from cxr.contracts.recipe import Recipe
    from cxr.steps.train import train

    train(
        studies=Path(studies.path),
        split=Path(split.path),
        recipe=read_json(Path(search.path) / RECIPE_FILE, Recipe),
        out=Path(checkpoint.path),
        scratch=Path(scratch),
        weights=Path(weights) if weights else None,
        mode=mode,
        cluster=resolve_cluster(cluster),
    )
