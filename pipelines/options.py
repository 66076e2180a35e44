"""Options that several commands of `python -m pipelines` share, and what is made of them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from kfp.dsl.graph_component import GraphComponent

from components.image import PULL_POLICIES, PULL_POLICY, REGISTRY, check_release, image_reference
from cxr import __version__
from cxr.adapters.kubeflow_runs import Endpoint, Submission
from cxr.contracts.cluster import Cluster, resolve_cluster
from cxr.contracts.deployment import Deployment, resolve_deployment
from cxr.contracts.resolve import recipe_text, resolve_recipe
from cxr.errors import PipelineError

F = TypeVar("F", bound=Callable[..., Any])

PIPELINES = ("training", "retraining")
DEPLOY_MODES = ("none", "print", "apply", "canary")

pipeline = click.option("--pipeline", type=click.Choice(PIPELINES), default=PIPELINES[0], show_default=True)
_CRON_FIELD = re.compile(r"[-0-9*/,?A-Za-z]+")


def load_pipeline(name: str) -> GraphComponent:
    """A pipeline by its name."""
    if name == "training":
        from pipelines.training import training

        return training
    from pipelines.retraining import retraining

    return retraining


def cluster_text(source: str, image: str) -> str:
    """Where pods run, checked here and as text, since no task could read a file; in the tasks' image unless it says."""
    given = resolve_cluster(source)
    if given.image == Cluster().image:
        given = msgspec.structs.replace(given, image=image)
    return msgspec.json.encode(given).decode()


def deployment_text(source: str, tracking_uri: str | None) -> str:
    """Where and how a model is served, checked here and as text; with the run's MLflow server unless it names one."""
    given = resolve_deployment(source)
    if tracking_uri and given.tracking_uri == Deployment().tracking_uri:
        given = msgspec.structs.replace(given, tracking_uri=tracking_uri)
    return msgspec.json.encode(given).decode()


def _group(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


arguments = _group(
    click.option("--data", required=True, help="Folder, index, phantom[:N], kaggle:OWNER/SET, s3://BUCKET/PREFIX."),
    click.option("--data-version", default="", help="Text that changes when the films behind --data do."),
    click.option("--recipe", default="default", show_default=True, help="Name, file, or YAML text."),
    click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change one field of it."),
    click.option("--weights", default="", help="File of initial weights instead of those that the recipe names."),
    click.option("--experiment", default="cxr", show_default=True, help="MLflow experiment."),
    click.option("--model-name", default="cxr", show_default=True, help="Registered model."),
    click.option(
        "--promote/--no-promote", default=None, help="Champion, if the gate lets it pass.  [default: the pipeline's]"
    ),
    click.option("--deploy-mode", type=click.Choice(DEPLOY_MODES), default=DEPLOY_MODES[0], show_default=True),
    click.option("--deployment", default="", help="Where and how it is served: file, or YAML text."),
    click.option("--no-cache", is_flag=True, help="Execute every step, even where nothing changed."),
)
"""Arguments of the pipelines, on this machine and on a cluster."""

cluster = click.option("--cluster", default="", help="Of Katib's and the TrainJob's pods: file, or YAML text.")

placed = _group(
    click.option("--search-engine", type=click.Choice(["embedded", "katib"]), help="Who searches."),
    click.option("--training-mode", type=click.Choice(["pod", "trainjob"]), help="What trains."),
    click.option("--gpus", help="GPUs of the pods of tune and train; 0 where Katib and a TrainJob do their work."),
    cluster,
    click.option("--tracking-uri", help="MLflow server, as seen from the cluster."),
    click.option("--scratch-claim", help="Volume claim that outlives tasks."),
)
"""Arguments of the pipelines that only a cluster has a use for; the pipelines' own defaults count without them."""

image = _group(
    click.option("--registry", default=REGISTRY, show_default=True, help="Where the pipeline image lies."),
    click.option("--tag", default=__version__, show_default=True, help="Of the pipeline image, or its digest."),
    click.option("--pull-policy", type=click.Choice(PULL_POLICIES), default=PULL_POLICY, show_default=True),
    click.option("--release", is_flag=True, help="Refuse a tag that moves or names no release."),
)
"""The image that tasks run in."""

endpoint = _group(
    click.option("--host", required=True, help="Address of the Kubeflow Pipelines API."),
    click.option("--token", envvar="KFP_TOKEN", show_envvar=True, help="Bearer token; better not on the command line."),
    click.option("--namespace", help="Yours, where Kubeflow has several users."),
    click.option("--certificate", type=click.Path(exists=True, path_type=Path), help="Authorities to trust."),
)
"""The Kubeflow Pipelines API."""

run = _group(
    click.option("--kubeflow-experiment", default="cxr", show_default=True),
    click.option("--service-account", help="That the tasks run as."),
    click.option("--pipeline-root", help="Address where artifacts are kept."),
)
"""A run on a cluster."""


def take_image(options: dict[str, Any]) -> dict[str, str]:
    """Take the options of the image; returns arguments of `compile_text`."""
    registry, tag, pull_policy, release = (options.pop(name) for name in ("registry", "tag", "pull_policy", "release"))
    if release:
        check_release(tag)
    return {"image": image_reference(registry, tag), "pull_policy": pull_policy}


def take_endpoint(options: dict[str, Any]) -> Endpoint:
    """Take the options of the API."""
    return Endpoint(**{name: options.pop(name) for name in ("host", "token", "namespace", "certificate")})


def take_submission(options: dict[str, Any], *, pipeline: str, name: str) -> Submission:
    """Take all options but the API's; what was not given has the pipeline's default."""
    from pipelines.spec import compile_text

    image = take_image(options)
    cluster = cluster_text(options.pop("cluster"), image["image"])
    deployment = deployment_text(options.pop("deployment"), options["tracking_uri"])
    recipe = resolve_recipe(options.pop("recipe"), options.pop("overrides"))
    return Submission(
        package=compile_text(load_pipeline(pipeline), **image),
        name=name,
        experiment=options.pop("kubeflow_experiment"),
        service_account=options.pop("service_account"),
        pipeline_root=options.pop("pipeline_root"),
        cached=not options.pop("no_cache"),
        arguments={
            "recipe": recipe_text(recipe),
            "cluster": cluster,
            "deployment": deployment,
            **{name: value for name, value in options.items() if value is not None},
        },
    )


def check_cron(cron: str) -> None:
    """Raise `PipelineError` unless there are six fields: Kubeflow's first one is the second, where cron has none."""
    fields: Sequence[str] = cron.split()
    if len(fields) != 6 or not all(_CRON_FIELD.fullmatch(field) for field in fields):
        raise PipelineError(
            "--cron must have six fields, second minute hour day month weekday, as in '0 0 3 1 * *' for the first of "
            f"every month at three, is {cron!r}"
        )
