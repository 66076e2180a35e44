"""A TrainJob (trainer.kubeflow.org/v1alpha1) that trains one recipe over the processes of one or more nodes.

The runtime `torch-distributed` starts a pod for each node and tells torchrun, in variables `PET_…`, how many there are,
which is which and where the first one listens. All of them mount the claim, where they find the films and
keep the decoded ones, the state after every epoch and the checkpoint.
"""

from typing import Any

import msgspec
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from pydantic import ValidationError

from cxr.adapters.custom_objects import IDENTITY
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
from cxr.contracts.files import value_digest
from cxr.contracts.recipe import Recipe
from cxr.errors import TrainingError

API_VERSION = "trainer.kubeflow.org/v1alpha1"
NODE = "node"
"""Name of the runtime's replicated job, and of the container in it that trains."""

SCRATCH = "/scratch"
"""Where a node finds the claim."""

_MANAGER = "cxr.kubeflow.org/train"


def render_train_job(recipe: Recipe, cluster: Cluster, films: SharedFilms, *, key: str, scratch: str) -> dict[str, Any]:
    """The TrainJob that trains a recipe.

    Args:
        recipe: to train.
        cluster: nodes, processes and what they get.
        films: on the claim.
        key: names what is trained: recipe, films and initial weights. One training has one name, so that two never
            write the same state at once.
        scratch: folder on the claim, as a path below its root; "" is the root. The checkpoint becomes
            `checkpoint_folder(scratch, key)`.

    Raises:
        TrainingError: Trainer's models would lose a field.
    """
    spec = _spec(recipe, cluster, films, key, scratch)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": {
            "name": f"cxr-train-{key[:12]}",
            "namespace": cluster.namespace,
            "labels": {"app.kubernetes.io/name": "cxr", "app.kubernetes.io/component": "training"},
            "annotations": {IDENTITY: value_digest(_Identity(spec=spec, key=key))},
        },
        "spec": spec,
    }
    _check(manifest)
    return manifest


def checkpoint_folder(scratch: str, key: str) -> str:
    """Where a TrainJob writes its checkpoint, as a path below the root of the claim.

    >>> checkpoint_folder("runs/7", "0123456789abcdef")
    'runs/7/trained-0123456789ab/checkpoint'
    """
    return f"{job_folder(scratch, key)}/checkpoint"


def job_folder(scratch: str, key: str) -> str:
    """Folder of one TrainJob, as a path below the root of the claim."""
    return f"{scratch}/trained-{key[:12]}".lstrip("/")


def output_folder(scratch: str, key: str) -> str:
    """Where every process of a TrainJob also writes its output, as a path below the root of the claim."""
    return f"{job_folder(scratch, key)}/log"


class _Identity(msgspec.Struct):
    spec: dict[str, Any]
    key: str


def _spec(recipe: Recipe, cluster: Cluster, films: SharedFilms, key: str, scratch: str) -> dict[str, Any]:
    pods = cluster.training
    state = f"{SCRATCH}/{scratch}".rstrip("/")
    arguments = training_arguments(
        recipe, films, claim=SCRATCH, out=f"{SCRATCH}/{checkpoint_folder(scratch, key)}", scratch=state
    )
    # a pod that has failed may be gone before its log is read: what every process says also goes to the claim
    log = f"--log-dir={SCRATCH}/{output_folder(scratch, key)}"
    return {
        "runtimeRef": {
            "apiGroup": API_VERSION.partition("/")[0],
            "kind": "ClusterTrainingRuntime",
            "name": pods.runtime,
        },
        "activeDeadlineSeconds": max(1, round(pods.timeout_hours * 3600)),
        "trainer": {
            "image": cluster.image,
            "command": ["torchrun"],
            "args": ["--tee=3", log, "-m", "cxr", *arguments],
            "env": environment(cluster, torch_home=f"{state}/torch"),
            "numNodes": pods.nodes,
            "numProcPerNode": pods.processes_per_node,
            "resourcesPerNode": resources(pods),
        },
        "runtimePatches": [{"manager": _MANAGER, "trainingRuntimeSpec": _patches(cluster)}],
    }


def _patches(cluster: Cluster) -> dict[str, Any]:
    """What the runtime's pods need beyond what a TrainJob's `trainer` can say."""
    pods = cluster.training
    container = {
        "name": NODE,
        "securityContext": container_security(cluster.user),
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}, *own_mounts()],
    }
    spec = {
        "securityContext": pod_security(cluster.user),
        "containers": [container],
        "volumes": [
            {"name": "scratch", "persistentVolumeClaim": {"claimName": cluster.claim}},
            *own_volumes(pods),
        ],
        **placement(cluster, pods),
    }
    labels = {
        "app.kubernetes.io/name": "cxr",
        "app.kubernetes.io/component": "training",
        "sidecar.istio.io/inject": "false",  # it would outlive the training, and the job with it
    }
    job = {"name": NODE, "template": {"spec": {"template": {"metadata": {"labels": labels}, "spec": spec}}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}


def _check(manifest: dict[str, Any]) -> None:
    """Raise `TrainingError` unless Trainer's models know every field: they drop what they don't know without a word."""
    try:
        model = TrainerV1alpha1TrainJob.from_dict(manifest)
    except ValidationError as error:
        raise TrainingError(f"the TrainJob must fit Trainer's models: {error}") from error
    kept = model.to_dict() if model else {}
    lost = [name for name in manifest if kept.get(name) != manifest[name]]
    if lost:
        raise TrainingError(f"the TrainJob may hold only fields that Trainer knows, some of {', '.join(lost)} is lost")
