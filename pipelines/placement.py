"""Where a task runs in a cluster and what it may use; KFP's local runner takes no notice of any of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from kfp import kubernetes
from kfp.dsl import PipelineConfig, PipelineTask

from components.image import PULL_POLICY

SCRATCH = "/scratch"
GPU = "nvidia.com/gpu"
_HOUR = 3600
_DAY = 24 * _HOUR

S3 = "cxr-s3"
S3_AUTHORITY = "cxr-s3-ca"
S3_AUTHORITY_FOLDER = "/etc/cxr/s3-ca"
"""Where tasks find `ca.crt` of that secret: AWS_CA_BUNDLE of the secret above names it, or nobody reads it."""
MLFLOW = "cxr-mlflow"
KAGGLE = "cxr-kaggle"
CLIENT = "cxr-client"
TLS = "cxr-tls"
SECRETS: Mapping[str, Mapping[str, str]] = {
    S3: {
        name: name
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_CA_BUNDLE",
            "S3_ENDPOINT",
            "S3_USE_HTTPS",
        )
    },
    MLFLOW: {name: name for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")},
    KAGGLE: {name: name for name in ("KAGGLE_USERNAME", "KAGGLE_KEY")},
    CLIENT: {"client.key": "CXR_API_KEY"},
    TLS: {"ca.crt": "CXR_CA_CERTIFICATE"},
}
"""Secrets of the pipeline's namespace: the keys in each, and the variables that tasks are given."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Of one task.

    Attributes:
        cores: requested; twice as many when the node has them to spare.
        gibibytes: of memory, requested in full.
        hours: that one try may take; far above what it does take, so that only what hangs is ended.
        secrets: whose keys it is given.
    """

    cores: int
    gibibytes: int
    hours: int
    secrets: tuple[str, ...] = ()


NEEDS = {
    "ingest": Needs(cores=2, gibibytes=4, hours=12, secrets=(S3, KAGGLE)),
    "split": Needs(cores=1, gibibytes=2, hours=1),
    "tune": Needs(cores=4, gibibytes=16, hours=48, secrets=(S3, MLFLOW)),
    "train": Needs(cores=4, gibibytes=16, hours=48, secrets=(S3, MLFLOW)),
    "evaluate": Needs(cores=2, gibibytes=8, hours=6),
    "robustness": Needs(cores=4, gibibytes=8, hours=12),
    "explain": Needs(cores=2, gibibytes=8, hours=6),
    "audit-shortcuts": Needs(cores=4, gibibytes=8, hours=12),
    "fit-drift": Needs(cores=2, gibibytes=8, hours=6),
    "fit-gate": Needs(cores=2, gibibytes=8, hours=6),
    "package": Needs(cores=2, gibibytes=8, hours=2),
    "register": Needs(cores=1, gibibytes=2, hours=1, secrets=(S3, MLFLOW)),
    "promote": Needs(cores=1, gibibytes=2, hours=1, secrets=(S3, MLFLOW)),
    "report": Needs(cores=1, gibibytes=4, hours=2),
    "deploy": Needs(cores=1, gibibytes=2, hours=4, secrets=(S3, MLFLOW, CLIENT, TLS)),
    "promote-canary": Needs(cores=1, gibibytes=2, hours=24, secrets=(S3, MLFLOW, CLIENT, TLS)),
}

CONFIG = PipelineConfig(
    ttl_seconds_after_success=7 * _DAY, ttl_seconds_after_failure=30 * _DAY, active_deadline_seconds=7 * _DAY
)
"""Of a run: its pods and logs go a week after it succeeded, a month after it failed; artifacts and metadata stay."""


def place(task: PipelineTask) -> None:
    """Give a task what the one of its name needs: resources, time, secrets; and run it as another user than root.

    A secret, or a key of it, that is not there is left out: which are needed follows from where films and models are.
    """
    needs = NEEDS[task.name]
    task.set_cpu_request(str(needs.cores)).set_cpu_limit(str(2 * needs.cores))
    task.set_memory_request(f"{needs.gibibytes}Gi").set_memory_limit(f"{needs.gibibytes}Gi")
    kubernetes.set_timeout(task, needs.hours * _HOUR)
    kubernetes.set_image_pull_policy(task, PULL_POLICY)
    kubernetes.set_security_context(task, run_as_non_root=True)
    for secret in needs.secrets:
        kubernetes.use_secret_as_env(task, secret, dict(SECRETS[secret]), optional=True)
    if S3 in needs.secrets:
        kubernetes.use_secret_as_volume(task, S3_AUTHORITY, S3_AUTHORITY_FOLDER, optional=True)


def set_gpus(task: PipelineTask, count: str) -> None:
    """GPUs, on nodes that are kept for GPU work, with room in /dev/shm for processes to share films and gradients.

    A container's /dev/shm is 64 MiB unless a volume in memory is mounted there; it counts towards the memory limit.

    Args:
        task: to place.
        count: a parameter of the pipeline; text, which is all that Kubeflow's driver takes here.
    """
    task.set_accelerator_type(GPU).set_accelerator_limit(count)
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
