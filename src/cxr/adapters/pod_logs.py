"""The last lines that pods wrote: what a search or a training that failed has to say for itself."""

import re
from collections.abc import Sequence

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

LAST_LINES = 20

_REQUEST_SECONDS = 60
_FORBIDDEN = 403
_HINT = "; the service account must be allowed to list pods and to get pods/log"
_NOT_THERE = (400, 404)  # no such container, or it has not started
_KLOG = re.compile(r"^[IWEF]\d{4} \S+ +\d+ \S+\] ?")


class PodLogs:
    """Logs of the pods of one namespace.

    Args:
        api: connection to the cluster.
        namespace: of the pods.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._core = client.CoreV1Api(api)
        self._namespace = namespace

    def last_words(self, selector: str, containers: Sequence[str]) -> str:
        """Last lines of the pod that the selector fits and that tells most: one that failed before one that runs.

        Args:
            selector: of labels.
            containers: whose output is wanted; the first that has any is it.

        Returns:
            A line break and the lines; or, in one line, what the pod waits for, that there is none, or why that cannot
            be known. Never raises: it is said where something else has failed.
        """
        try:
            found = self._core.list_namespaced_pod(
                self._namespace, label_selector=selector, _request_timeout=_REQUEST_SECONDS
            )
            if not found.items:
                return "no pod"
            pod = max(found.items, key=_telling)
            for container in containers:
                text = self._lines(pod, container)
                if text:
                    return f"\n{text}"
        except ApiException as error:
            hint = _HINT if error.status == _FORBIDDEN else ""
            return f"the cluster refuses to show its log: {error.status} {error.reason}{hint}"
        except HTTPError as error:
            return f"the cluster does not show its log: {error}"
        return _waits_for(pod)

    def _lines(self, pod: client.V1Pod, container: str) -> str:
        """Last lines of a container, of its run before when the present one has written nothing."""
        runs = (False, True) if _restarts(pod) else (False,)
        return next((text for text in (self._log(pod, container, previous=run) for run in runs) if text), "")

    def _log(self, pod: client.V1Pod, container: str, *, previous: bool) -> str:
        try:
            text = self._core.read_namespaced_pod_log(
                pod.metadata.name,
                self._namespace,
                container=container,
                previous=previous,
                tail_lines=LAST_LINES,
                _request_timeout=_REQUEST_SECONDS,
            )
        except ApiException as error:
            if error.status not in _NOT_THERE:
                raise
            return ""
        return last_lines(text)


def last_lines(text: str) -> str:
    """The last lines of an output, without blank ones and without the prefix of Katib's collector."""
    lines = [_KLOG.sub("", line) for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-LAST_LINES:])


def _telling(pod: client.V1Pod) -> tuple[bool, int, str]:
    """How much a pod may say about a failure: one that was evicted says nothing."""
    status = pod.status or client.V1PodStatus()
    evicted = any(c.type == "DisruptionTarget" and c.status == "True" for c in status.conditions or [])
    return (status.phase == "Failed" and not evicted, _restarts(pod), str(pod.metadata.creation_timestamp))


def _restarts(pod: client.V1Pod) -> int:
    statuses = (pod.status.container_statuses if pod.status else None) or []
    return sum(status.restart_count for status in statuses)


def _waits_for(pod: client.V1Pod) -> str:
    """Why a pod has no output."""
    for container in pod.status.container_statuses or []:
        waiting = container.state.waiting if container.state else None
        if waiting is not None:
            return f"{waiting.reason}: {waiting.message or 'no message'}"
    for condition in pod.status.conditions or []:
        if condition.status == "False" and condition.message:
            return f"{condition.reason}: {condition.message}"
    return f"no output, {pod.status.phase}"
