"""Where a task runs in a cluster and what it may use; KFP's local runner takes no notice of any of it."""

from dataclasses import dataclass

from kfp import kubernetes
from kfp.dsl import PipelineTask

SCRATCH = "/scratch"
GPU = "nvidia.com/gpu"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Cores are requested and may be doubled when the node has them to spare; memory is requested in full."""

    cores: int
    gibibytes: int


RESOURCES = {
    "ingest": Resources(cores=2, gibibytes=4),
    "split": Resources(cores=1, gibibytes=2),
    "tune": Resources(cores=4, gibibytes=16),
    "train": Resources(cores=4, gibibytes=16),
    "evaluate": Resources(cores=2, gibibytes=8),
    "robustness": Resources(cores=4, gibibytes=8),
    "explain": Resources(cores=2, gibibytes=8),
    "fit-drift": Resources(cores=2, gibibytes=8),
    "fit-gate": Resources(cores=2, gibibytes=8),
    "package": Resources(cores=2, gibibytes=8),
    "register": Resources(cores=1, gibibytes=2),
    "promote": Resources(cores=1, gibibytes=2),
    "report": Resources(cores=1, gibibytes=4),
}


def set_resources(task: PipelineTask) -> None:
    """Request and limit what the task of this name needs."""
    needs = RESOURCES[task.name]
    task.set_cpu_request(str(needs.cores)).set_cpu_limit(str(2 * needs.cores))
    task.set_memory_request(f"{needs.gibibytes}Gi").set_memory_limit(f"{needs.gibibytes}Gi")


def set_gpu(task: PipelineTask) -> None:
    """One GPU, on nodes that are kept for GPU work, with room in /dev/shm for processes to share films and gradients.

    A container's /dev/shm is 64 MiB unless a volume in memory is mounted there; it counts towards the memory limit.
    """
    task.set_accelerator_type(GPU).set_accelerator_limit(1)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    kubernetes.add_node_selector(task, label_key=f"{GPU}.present", label_value="true")
    kubernetes.empty_dir_mount(
        task,
        volume_name="shared-memory",
        mount_path="/dev/shm",  # noqa: S108 - the pod's own
        medium="Memory",
        size_limit="4Gi",
    )


def set_scratch(task: PipelineTask, claim: str) -> None:
    """Mount the volume where a killed task finds what it had done."""
    kubernetes.mount_pvc(task, pvc_name=claim, mount_path=SCRATCH)


def set_retries(task: PipelineTask) -> None:
    """Three more tries, after 30, 60 and 120 seconds: long enough for a node or a server to come back."""
    task.set_retry(num_retries=3, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
