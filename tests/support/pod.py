"""The pod that KServe would make of the chart's InferenceService, for a machine without a cluster."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.chart import containers, of_kind, predictor

POD_FIELDS = ("securityContext", "initContainers", "containers", "terminationGracePeriodSeconds")
KUBELETS = ("resources", "ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
"""What podman does in its own way: it publishes ports on the host, and asks probes with curl, which no image has."""


def pod_of(objects: Sequence[dict[str, Any]], *, name: str, folder: Path, images: Mapping[str, str]) -> dict[str, Any]:
    """A v1 Pod for `podman play kube`: the predictor's, each volume a folder of its own below `folder`.

    Args:
        objects: what the chart rendered.
        name: of the pod.
        folder: of the volumes; those that a secret would fill are the caller's to fill.
        images: the chart's name of an image to the one on this machine.
    """
    rendered = copy.deepcopy(predictor(list(objects)))
    [service] = of_kind(list(objects), "InferenceService")
    spec = {field: rendered[field] for field in POD_FIELDS if field in rendered}
    for container in containers(spec):
        container["image"] = images[container["image"]]
        container["imagePullPolicy"] = "Never"
        for field in KUBELETS:
            container.pop(field, None)
        for mount in container["volumeMounts"]:
            # What a part of a claim is called changes nothing inside: each volume is of this one pod.
            mount.pop("subPathExpr", None)
    spec["volumes"] = [
        {"name": volume["name"], "hostPath": {"path": str(folder / volume["name"]), "type": "Directory"}}
        for volume in rendered["volumes"]
    ]
    spec["restartPolicy"] = "Never"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": rendered["labels"] | service["metadata"]["labels"]},
        "spec": spec,
    }


def lay_volumes(objects: Sequence[dict[str, Any]], folder: Path, uid: int) -> None:
    """Make the volumes' folders that are not there, and give all that they hold to the pod's user, as a kubelet would.

    Args:
        objects: what the chart rendered.
        folder: of the volumes.
        uid: of the pod.
    """
    for volume in predictor(list(objects))["volumes"]:
        top = folder / volume["name"]
        top.mkdir(parents=True, exist_ok=True)
        for path in (top, *top.rglob("*")):
            os.chown(path, uid, uid)
            if "secret" in volume and path.is_file():
                path.chmod(volume["secret"]["defaultMode"])
