"""One trial of a Katib search: a Job whose container trains the recipe with the values that Katib fills in."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import recipe_text
from cxr.errors import SearchError
from cxr.progress import METRICS_VARIABLE

CONTAINER = "training"
"""Name of the container that trains; Katib adds one beside it that collects the metrics."""

FILMS = "/films"
SCRATCH = "/scratch"
GPU = "nvidia.com/gpu"

_TEMPORARY = "/tmp"  # noqa: S108 - the pod's own
_SHARED = "/dev/shm"  # noqa: S108 - the pod's own
_IMAGE = re.compile(r".+(:(?!latest$)[\w][\w.-]*|@sha256:[0-9a-f]{64})$")


@dataclass(frozen=True, kw_only=True)
class SecretVariable:
    """An environment variable whose value is a key of a secret in the trials' namespace."""

    name: str
    secret: str
    key: str


@dataclass(frozen=True, kw_only=True)
class TrialPod:
    """Where a trial runs, and where it finds its films.

    Attributes:
        image: of the pipeline, with a tag other than latest or a digest. It must hold a shell: Katib wraps the command.
        films_claim: persistent volume claim that holds studies and split; mounted read-only, so that all trials can.
        studies, split: folders on the claim, as the steps of these names write them.
        weights: file of initial weights on the claim; empty for those that the recipe names.
        gpus: of a trial; with several, torchrun starts a process for each. 0 trains on the CPU, on any node.
        cores: requested, and may be doubled when the node has them to spare.
        gibibytes: of memory, requested in full; the room in /dev/shm is part of it.
        scratch_gibibytes: of disk for decoded films and the checkpoint, gone with the pod.
        node_selector, tolerations: of GPU nodes; not used without GPUs.
        secrets: variables of the container.
        pull_secrets: names of the secrets of the image's registry.
        user: that the container runs as, any but root; Katib's collector gets the same, for it ends a stopped trial.
        deadline_seconds: after which a trial fails; None for no end but the search's.
    """

    image: str
    films_claim: str
    studies: str = "studies"
    split: str = "split"
    weights: str = ""
    pull_policy: str = "IfNotPresent"
    gpus: int = 1
    cores: int = 4
    gibibytes: int = 16
    shared_gibibytes: int = 4
    scratch_gibibytes: int = 20
    node_selector: Mapping[str, str] = field(default_factory=lambda: {f"{GPU}.present": "true"})
    tolerations: tuple[Mapping[str, str], ...] = ({"key": GPU, "operator": "Exists", "effect": "NoSchedule"},)
    secrets: tuple[SecretVariable, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    user: int = 10001
    deadline_seconds: int | None = None

    def __post_init__(self) -> None:
        if not _IMAGE.fullmatch(self.image):
            raise SearchError(f"a trial's image must have a tag other than latest, or a digest; is {self.image!r}")
        if self.user < 1:
            raise SearchError(f"a trial must not run as root, user is {self.user}; give a number from 1 up")
        for name in (self.studies, self.split, self.weights):
            if name.startswith("/") or ".." in name.split("/"):
                raise SearchError(
                    f"studies, split and weights must be paths below the root of the claim, one is {name!r}"
                )


def trial_job(recipe: Recipe, pod: TrialPod) -> dict[str, Any]:
    """The Job of a trial, with `${trialParameters.NAME}` where Katib writes the value of each searched field.

    A pod that is evicted or loses its node is replaced and counts for nothing (`podFailurePolicy`); one whose training
    fails is a failed trial.
    """
    spec: dict[str, Any] = {
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
            "spec": _pod_spec(recipe, pod),
        },
    }
    if pod.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = pod.deadline_seconds
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}


def placeholder_name(name: str) -> str:
    """Name of a searched field in the trial's template.

    >>> placeholder_name("optimiser.learning_rate")
    'optimiser_learning_rate'
    """
    return name.replace(".", "_")


def _pod_spec(recipe: Recipe, pod: TrialPod) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pod.user,
            "runAsGroup": pod.user,
            "fsGroup": pod.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(recipe, pod)],
        "volumes": [
            {"name": "films", "persistentVolumeClaim": {"claimName": pod.films_claim, "readOnly": True}},
            {"name": "scratch", "emptyDir": {"sizeLimit": f"{pod.scratch_gibibytes}Gi"}},
            {"name": "temporary", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{pod.shared_gibibytes}Gi"}},
        ],
    }
    if pod.gpus:
        spec["nodeSelector"] = dict(pod.node_selector)
        spec["tolerations"] = [dict(toleration) for toleration in pod.tolerations]
    if pod.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in pod.pull_secrets]
    if pod.service_account:
        spec["serviceAccountName"] = pod.service_account
    return spec


def _container(recipe: Recipe, pod: TrialPod) -> dict[str, Any]:
    limits = {"cpu": str(2 * pod.cores), "memory": f"{pod.gibibytes}Gi"}
    if pod.gpus:
        limits[GPU] = str(pod.gpus)
    return {
        "name": CONTAINER,
        "image": pod.image,
        "imagePullPolicy": pod.pull_policy,
        # Katib joins the words of a command with spaces and hands them to a shell: quoted here, they stay what they are
        "command": ["sh", "-c"],
        "args": [shlex.join(_command(recipe, pod))],
        "env": [
            {"name": METRICS_VARIABLE, "value": "lines"},
            {"name": "HOME", "value": _TEMPORARY},
            {"name": "TORCH_HOME", "value": f"{SCRATCH}/torch"},
            *(
                {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": variable.secret, "key": variable.key}}}
                for variable in pod.secrets
            ),
        ],
        "resources": {"requests": {"cpu": str(pod.cores), "memory": f"{pod.gibibytes}Gi"}, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": pod.user,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "films", "mountPath": FILMS, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH},
            {"name": "temporary", "mountPath": _TEMPORARY},
            {"name": "shared-memory", "mountPath": _SHARED},
        ],
    }


def _command(recipe: Recipe, pod: TrialPod) -> list[str]:
    text = recipe_text(with_values(recipe, {"schedule.epochs": recipe.search.epochs}))
    program = ["cxr"]
    if pod.gpus > 1:
        program = ["torchrun", "--standalone", f"--nproc-per-node={pod.gpus}", "-m", "cxr"]
    words = [
        *program,
        "train",
        "--recipe",
        text.replace("$", "$$"),  # Kubernetes reads $(NAME) in arguments, and $$ as $
        "--studies",
        f"{FILMS}/{pod.studies}",
        "--split",
        f"{FILMS}/{pod.split}",
        "--out",
        f"{SCRATCH}/checkpoint",
        "--scratch",
        f"{SCRATCH}/state",
    ]
    if pod.weights:
        words += ["--weights", f"{FILMS}/{pod.weights}"]
    for parameter in recipe.search.parameters:
        words += ["--set", f"{parameter.field}=${{trialParameters.{placeholder_name(parameter.field)}}}"]
    return words
