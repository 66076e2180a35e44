"""What pods of a search and of a training have in common: placement, volumes, limits, the command that trains."""

from typing import Any

import msgspec

from cxr.contracts.cluster import GPU, Cluster, Pods, SharedFilms
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import recipe_text

TEMPORARY = "/tmp"  # noqa: S108 - the pod's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the pod's own


def pod_security(user: int) -> dict[str, Any]:
    """Of a pod whose volumes must be writable by its user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security(user: int) -> dict[str, Any]:
    """Of a container that needs no right but to run."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": user,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(pods: Pods) -> dict[str, dict[str, str]]:
    """Requests and limits of a container."""
    limits = {"cpu": str(2 * pods.cores), "memory": f"{pods.gibibytes}Gi"}
    if pods.gpus:
        limits[GPU] = str(pods.gpus)
    return {"requests": {"cpu": str(pods.cores), "memory": f"{pods.gibibytes}Gi"}, "limits": limits}


def placement(cluster: Cluster, pods: Pods) -> dict[str, Any]:
    """Fields of a pod's spec that say where it runs and what for."""
    spec: dict[str, Any] = {}
    if pods.gpus:
        spec["nodeSelector"] = dict(pods.node_selector)
        spec["tolerations"] = [msgspec.to_builtins(toleration) for toleration in pods.tolerations]
    if cluster.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in cluster.pull_secrets]
    if cluster.service_account:
        spec["serviceAccountName"] = cluster.service_account
    return spec


def own_volumes(pods: Pods) -> list[dict[str, Any]]:
    """Volumes for temporary files and shared memory, gone with the pod."""
    return [
        {"name": "temporary", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{pods.shared_gibibytes}Gi"}},
    ]


def own_mounts() -> list[dict[str, Any]]:
    """Where the container finds `own_volumes`."""
    return [
        {"name": "temporary", "mountPath": TEMPORARY},
        {"name": "shared-memory", "mountPath": SHARED_MEMORY},
    ]


def environment(cluster: Cluster, *, torch_home: str) -> list[dict[str, Any]]:
    """Variables of the container."""
    return [
        {"name": "HOME", "value": TEMPORARY},
        {"name": "TORCH_HOME", "value": torch_home},
        *(
            {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": variable.secret, "key": variable.key}}}
            for variable in cluster.secrets
        ),
    ]


def training_arguments(recipe: Recipe, films: SharedFilms, *, claim: str, out: str, scratch: str) -> list[str]:
    """Arguments of `cxr` that train a recipe, as Kubernetes takes them.

    Args:
        recipe: to train.
        films: on the claim.
        claim: where the container finds the claim.
        out: folder of the container that becomes the checkpoint.
        scratch: folder of the container for decoded films and the state after every epoch.
    """
    words = [
        "train",
        "--recipe",
        recipe_text(recipe).replace("$", "$$"),  # Kubernetes reads $(NAME) in arguments, and $$ as $
        "--studies",
        f"{claim}/{films.studies}",
        "--split",
        f"{claim}/{films.split}",
        "--out",
        out,
        "--scratch",
        scratch,
    ]
    return [*words, "--weights", f"{claim}/{films.weights}"] if films.weights else words
