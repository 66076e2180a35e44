"""A pipeline on this machine: from arguments to the folder of a run."""

import os
import shutil
import sys
from pathlib import Path

from kfp.dsl.graph_component import GraphComponent

from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.files import check_replaceable, file_digest, write_json
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import recipe_text
from cxr.errors import PipelineError
from pipelines.collect import collect, mark_last
from pipelines.fingerprint import code_version, fingerprint
from pipelines.flow import Outputs
from pipelines.local import LOG_FILE, run_locally
from pipelines.summary import summarise
from pipelines.training import training

SCRATCH = ".scratch"
TRACKING_FILE = "mlflow.db"


def run_training(
    run: Path,
    recipe: Recipe,
    *,
    data: str,
    data_version: str = "",
    weights: str = "",
    tracking_uri: str | None = None,
    experiment: str = "cxr",
    model_name: str = "cxr",
    promote: bool = True,
    deploy_mode: str = "none",
    deployment: str = "",
    pipeline: GraphComponent = training,
    cached: bool = True,
) -> str:
    """Run a pipeline of films to a model, collect what it wrote in `run`, and return a summary for people.

    Runs beside each other share what lies beside them: cached results and resume state in dot folders, and the
    tracking database unless `tracking_uri` names a server.

    Raises:
        PipelineError: a step failed; the message is the step's own.
        ContractError: `run` is a folder of other files than a run's.
    """
    check_replaceable(run, RECIPE_FILE)
    root = run.absolute().parent
    scratch = root / SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    write_json(run / RECIPE_FILE, recipe)
    try:
        artifacts = run_locally(
            pipeline,
            {
                "data": str(Path(data).absolute()) if Path(data).exists() else data,
                "data_version": f"{data_version} {fingerprint(data)}".strip(),
                "recipe": recipe_text(recipe),
                "scratch": str(scratch),
                "weights": str(_by_content(Path(weights), scratch)) if weights else "",
                "tracking_uri": tracking_uri or f"sqlite:///{root / TRACKING_FILE}",
                "experiment": experiment,
                "model_name": model_name,
                "promote": promote,
                "deploy_mode": deploy_mode,
                "deployment": deployment,
            },
            run=run,
            code=code_version(),
            cached=cached,
        )
    except PipelineError:
        sys.stderr.write(f"the full log is {run / LOG_FILE}\n")
        raise
    collect({name: artifacts[name] for name in (*Outputs._fields, "promotion", "deployed") if name in artifacts}, run)
    mark_last(run)
    return summarise(run)


def _by_content(weights: Path, scratch: Path) -> Path:
    """The same file under a name that is its digest, so that other weights in its place are not taken for these."""
    if not weights.is_file():
        return weights.absolute()
    named = scratch / f"weights-{file_digest(weights)}{weights.suffix}"
    if not named.exists():
        try:
            os.link(weights, named)
        except OSError:
            shutil.copyfile(weights, named)
    return named
