"""One trial of a Katib search: a Job whose container trains the recipe with the values that Katib fills in."""

import shlex
from typing import Any

from cxr.adapters.training_pod import (
    container_security,
    environment,
    own_mounts,
    own_volumes,
    placement,
    pod_security,
    resources,
    training_arguments,
)
from cxr.contracts.cluster import Cluster, SharedFilms
from cxr.contracts.recipe import Recipe, for_trials
from cxr.progress import METRICS_VARIABLE

CONTAINER = "training"
"""Name of the container that trains; Katib adds one beside it that collects the metrics."""

FILMS = "/films"
"""Where a trial finds the claim, read-only, so that all trials can have it at once."""

SCRATCH = "/scratch"


def trial_job(recipe: Recipe, cluster: Cluster, films: SharedFilms) -> dict[str, Any]:
    """The Job of a trial, with `${trialParameters.NAME}` where Katib writes the value of each searched field.

    A pod that is evicted or loses its node is replaced and counts for nothing (`podFailurePolicy`); one whose training
    fails is a failed trial.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {
                    "labels": {
                        "app.kubernetes.io/name": "cxr",
                        "app.kubernetes.io/component": "trial",
                        "sidecar.istio.io/inject": "false",  # it would outlive the training, and the Job with it
                    }
                },
                "spec": _pod_spec(recipe, cluster, films),
            },
        },
    }


def placeholder_name(name: str) -> str:
    """Name of a searched field in the trial's template.

    >>> placeholder_name("optimiser.learning_rate")
    'optimiser_learning_rate'
    """
    return name.replace(".", "_")


def _pod_spec(recipe: Recipe, cluster: Cluster, films: SharedFilms) -> dict[str, Any]:
    pods = cluster.search
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Katib's collector gets the same user, for it ends a trial that is stopped early
        "securityContext": pod_security(cluster.user),
        "containers": [_container(recipe, cluster, films)],
        "volumes": [
            {"name": "films", "persistentVolumeClaim": {"claimName": cluster.claim, "readOnly": True}},
            {"name": "scratch", "emptyDir": {"sizeLimit": f"{pods.scratch_gibibytes}Gi"}},
            *own_volumes(pods),
        ],
        **placement(cluster, pods),
    }


def _container(recipe: Recipe, cluster: Cluster, films: SharedFilms) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": cluster.image,
        "imagePullPolicy": cluster.pull_policy,
        # Katib joins the words of a command with spaces and hands them to a shell: quoted here, they stay what they are
        "command": ["sh", "-c"],
        "args": [shlex.join(_command(recipe, cluster, films))],
        "env": [
            {"name": METRICS_VARIABLE, "value": "lines"},
            *environment(cluster, torch_home=f"{SCRATCH}/torch"),
        ],
        "resources": resources(cluster.search),
        "securityContext": container_security(cluster.user),
        "volumeMounts": [
            {"name": "films", "mountPath": FILMS, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH},
            *own_mounts(),
        ],
    }


def _command(recipe: Recipe, cluster: Cluster, films: SharedFilms) -> list[str]:
    program = ["cxr"]
    if cluster.search.gpus > 1:
        program = ["torchrun", "--standalone", f"--nproc-per-node={cluster.search.gpus}", "-m", "cxr"]
    arguments = training_arguments(
        for_trials(recipe), films, claim=FILMS, out=f"{SCRATCH}/checkpoint", scratch=f"{SCRATCH}/state"
    )
    searched = (
        f"{parameter.field}=${{trialParameters.{placeholder_name(parameter.field)}}}"
        for parameter in recipe.search.parameters
    )
    return [*program, *arguments, *(word for value in searched for word in ("--set", value))]
