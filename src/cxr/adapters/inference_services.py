"""KServe's InferenceServices in a cluster: read, replaced, watched until a bundle is well, and what their pods say."""

import logging
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client

from cxr.adapters.custom_objects import CustomObjects, Kind
from cxr.adapters.inference_service import PREDICTOR, Object
from cxr.adapters.pod_logs import PodLogs
from cxr.errors import ClusterError

logger = logging.getLogger(__name__)

MANAGER = "cxr-deploy"
STORAGE_INITIALIZER = "storage-initializer"

SERVICES = Kind(
    group="serving.kserve.io",
    version="v1beta1",
    plural="inferenceservices",
    noun="InferenceService",
    error=ClusterError,
    hints={
        403: "the service account must be allowed to get, list, watch and update serving.kserve.io inferenceservices, "
        "to list pods and to get pods/log",
        404: "is KServe installed, and the namespace right?",
        422: "does KServe support spec.canary (0.20 or later, annotation deploymentMode Standard)?",
    },
)

_BROKEN = ("BlockedByFailedLoad", "InvalidSpec")
_CONFLICTS = 10


class InferenceServices:
    """The InferenceServices of one namespace.

    Args:
        api: connection to the cluster.
        namespace: of the objects.
        pause: seconds before a request that failed is made again, doubled every time.

    Raises:
        ClusterError: from every method, when the cluster cannot be reached or refuses.
    """

    def __init__(self, api: client.ApiClient, namespace: str, *, pause: float = 1.0) -> None:
        self._objects = CustomObjects(api, namespace, SERVICES, pause=pause)
        self._logs = PodLogs(api, namespace)
        self._namespace = namespace

    def get(self, name: str) -> Object:
        """An InferenceService as it is; raises `ClusterError` when there is none."""
        found = self._objects.find(name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise ClusterError(
                f"the InferenceService {name} must be in {self._namespace}, is not; install it there first: "
                f"helm install {name} charts/cxr"
            )
        return found

    def change(self, name: str, change: Callable[[Object], Object]) -> Object:
        """Replace an InferenceService by what `change` makes of it, again while others change it too.

        Args:
            name: of the InferenceService.
            change: from the object as it is to the one that it shall be; the same object when nothing is to be done.
        """
        for _ in range(_CONFLICTS):
            found = self.get(name)
            wanted = change(found)
            if wanted == found:
                return found
            replaced = self._objects.replace(wanted, manager=MANAGER)
            if replaced is not None:
                return replaced
        raise ClusterError(f"{name} must not be changed by others all the time, was {_CONFLICTS} times; run again")

    def wait(self, name: str, *, canary: str = "", deadline: float) -> Object:
        """Watch an InferenceService until it, or its canary, is ready, and return it.

        Args:
            name: of the InferenceService.
            canary: name of the canary that is meant; empty for the predictor.
            deadline: on the clock of `time.monotonic`.

        Raises:
            ClusterError: KServe gives up on it, or it is not ready in time.
        """
        found: Object = {}
        for found in self._objects.states(name, deadline):
            if _behind(found):
                continue
            failure = _failure(found, canary)
            if failure:
                raise ClusterError(f"{name} must become ready, KServe gives up: {failure}")
            if _ready(found, canary):
                return found
            if time.monotonic() >= deadline:
                break
        raise ClusterError(f"{name} must become ready in time, is not: {_waiting(found, canary)}")

    def last_words(self, name: str) -> str:
        """Last lines of a pod of an InferenceService, one that fails before one that runs."""
        return self._logs.last_words(f"serving.kserve.io/inferenceservice={name}", (PREDICTOR, STORAGE_INITIALIZER))


def _behind(service: Object) -> bool:
    """Whether the status is of an older version of the object."""
    observed = service.get("status", {}).get("observedGeneration")
    return observed is not None and int(observed) < int(service["metadata"].get("generation", 0))


def _model_status(service: Object, canary: str) -> dict[str, Any]:
    found: dict[str, Any] = _part(service, canary).get("modelStatus") or {}
    return found


def _part(service: Object, canary: str) -> dict[str, Any]:
    """Status of the predictor or of a canary."""
    status: dict[str, Any] = service.get("status") or {}
    if not canary:
        return status
    return next((one for one in status.get("canaryStatuses") or [] if one["name"] == canary), {})


def _ready(service: Object, canary: str) -> bool:
    if canary:
        return bool(_part(service, canary).get("ready"))
    return any(one["type"] == "Ready" and one["status"] == "True" for one in _conditions(service))


def _failure(service: Object, canary: str) -> str:
    """Why KServe does not go on; empty while it does."""
    model = _model_status(service, canary)
    if model.get("transitionStatus") not in _BROKEN:
        return ""
    info = model.get("lastFailureInfo") or {}
    words = [str(info[name]) for name in ("reason", "message") if info.get(name)]
    if info.get("exitCode"):
        words.append(f"exit code {info['exitCode']}")
    return ", ".join(words) or str(model["transitionStatus"])


def _waiting(service: Object, canary: str) -> str:
    """What is not ready."""
    said = [
        f"{one['type']} {one.get('reason') or one['status']} {one.get('message', '')}".strip()
        for one in _conditions(service)
        if one["status"] != "True"
    ]
    if canary and not _part(service, canary):
        said.insert(0, f"there is no status of canary {canary}; is the Gateway API enabled in KServe?")
    return "; ".join(said) or "it has no conditions; does KServe's controller run?"


def _conditions(service: Object) -> list[dict[str, Any]]:
    return list((service.get("status") or {}).get("conditions") or [])
