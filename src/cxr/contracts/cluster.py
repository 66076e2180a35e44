"""Where a search and a training run when they do not run in the step's own process: pods of a Kubernetes cluster."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cxr import __version__
from cxr.contracts.files import Contract
from cxr.contracts.settings import read_settings
from cxr.errors import ClusterError

GPU = "nvidia.com/gpu"

Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]

_FIXED_IMAGE = re.compile(r"\S+(:(?!latest$)[\w][\w.-]*|@sha256:[0-9a-f]{64})")


class SecretVariable(Contract, frozen=True, kw_only=True):
    """An environment variable whose value is a key of a secret in the pods' namespace."""

    name: str
    secret: Name
    key: str


class Toleration(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """A taint of nodes that a pod may be placed on all the same; Kubernetes' own fields."""

    key: str = ""
    operator: Literal["", "Exists", "Equal"] = ""
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class Pods(Contract, frozen=True, kw_only=True):
    """What every pod gets.

    Attributes:
        gpus: of a pod. 0 trains on the CPU, on any node.
        cores: requested, and may be doubled when the node has them to spare.
        gibibytes: of memory, requested in full; the room in /dev/shm is part of it.
        shared_gibibytes: of room in /dev/shm, where processes share films and gradients.
        node_selector, tolerations: of GPU nodes; not used without GPUs.
        timeout_hours: from when the step begins to wait.
        keep: leave the object and its pods in the cluster when all is done, or has failed.
    """

    gpus: Natural = 1
    cores: Count = 4
    gibibytes: Count = 16
    shared_gibibytes: Count = 4
    node_selector: dict[str, str] = msgspec.field(default_factory=lambda: {f"{GPU}.present": "true"})
    tolerations: tuple[Toleration, ...] = (Toleration(key=GPU, operator="Exists", effect="NoSchedule"),)
    timeout_hours: Annotated[float, Meta(gt=0)] = 24.0
    keep: bool = False


class SearchPods(Pods, frozen=True, kw_only=True):
    """The trials of a search in Katib, each in a pod of its own.

    Attributes:
        parallel: trials at the same time. The fewer, the more each is guided by those before.
        failures: the search fails when this many trials have.
        scratch_gibibytes: of disk for decoded films and the checkpoint of a trial, gone with the pod.
    """

    parallel: Count = 2
    failures: Count = 3
    scratch_gibibytes: Count = 20


class TrainingPods(Pods, frozen=True, kw_only=True):
    """The nodes of one training, as a TrainJob of Kubeflow Trainer.

    Attributes:
        nodes: pods that train together.
        processes: of a node; 0 is one for each of its GPUs, or one on the CPU.
        runtime: name of the ClusterTrainingRuntime, one whose policy is torch.
    """

    nodes: Count = 1
    processes: Natural = 0
    runtime: Name = "torch-distributed"

    @property
    def processes_per_node(self) -> int:
        """Processes of a node."""
        return self.processes or max(1, self.gpus)


class Cluster(Contract, frozen=True, kw_only=True):
    """Where pods run, and what they share with the step that starts them.

    Attributes:
        namespace: of everything that is created. Katib needs it labelled
            `katib.kubeflow.org/metrics-collector-injection: enabled`.
        image: of the pipeline, with a tag other than latest or a digest. It must hold a shell: Katib wraps the command.
        pull_policy: of the image in a trial; a TrainJob's is that of its runtime.
        pull_secrets: names of the secrets of the image's registry.
        service_account: that pods run as; empty for the namespace's default. They never talk to the cluster.
        claim: persistent volume claim that the step and all pods mount; pods of several nodes need ReadWriteMany.
        mount: folder where the step finds the claim. Its `--scratch` must be that folder or one below it.
        secrets: variables of every pod.
        user: that containers run as, any but root.
    """

    namespace: Name = "cxr"
    image: str = f"cxr/pipeline:{__version__}"
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[Name, ...] = ()
    service_account: str = ""
    claim: Name = "cxr-scratch"
    mount: str = "/scratch"
    secrets: tuple[SecretVariable, ...] = ()
    user: Count = 10001
    search: SearchPods = msgspec.field(default_factory=SearchPods)
    training: TrainingPods = msgspec.field(default_factory=TrainingPods)


class SharedFilms(Contract, frozen=True, kw_only=True):
    """What a training reads, as paths below the root of the claim.

    Attributes:
        studies, split: folders, as the steps of these names write them.
        weights: file of initial weights; empty for those that the recipe names.
    """

    studies: str
    split: str
    weights: str = ""


def resolve_cluster(source: str = "") -> Cluster:
    """Read where pods run.

    Args:
        source: path of a .yaml, .yml or .json file, or YAML or JSON text; empty for the defaults.

    Raises:
        ClusterError: the source cannot be read, a name is unknown, a value breaks its type or bounds, or values
            contradict each other.
    """
    cluster = read_settings(source, Cluster, name="cluster", error=ClusterError)
    if not _FIXED_IMAGE.fullmatch(cluster.image):
        raise ClusterError(f"cluster: image must have a tag other than latest, or a digest; is {cluster.image!r}")
    if not cluster.mount.startswith("/"):
        raise ClusterError(f"cluster: mount must be an absolute path, is {cluster.mount!r}")
    for name, pods in (("search", cluster.search), ("training", cluster.training)):
        if pods.shared_gibibytes >= pods.gibibytes:
            raise ClusterError(
                f"cluster: {name}.shared_gibibytes is part of {name}.gibibytes and must be less, is "
                f"{pods.shared_gibibytes} of {pods.gibibytes}"
            )
    training = cluster.training
    if training.gpus and training.processes > training.gpus:
        raise ClusterError(
            f"cluster: training.processes must be at most training.gpus, one process drives one GPU; is "
            f"{training.processes} with {training.gpus}"
        )
    return cluster
