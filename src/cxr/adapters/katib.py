"""Katib's Experiments in a cluster: created or joined, watched to their end, read back, deleted."""

import itertools
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubeflow_katib_api.models import V1beta1ExperimentCondition, V1beta1ExperimentStatus
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from cxr.adapters.katib_experiment import IDENTITY
from cxr.adapters.katib_trial import CONTAINER
from cxr.errors import SearchError
from cxr.progress import progress

logger = logging.getLogger(__name__)

COLLECTOR = "metrics-logger-and-collector"
"""Container that Katib puts into a trial's pod; the training's output goes to its log, none to the training's own."""

INJECTION = "katib.kubeflow.org/metrics-collector-injection: enabled"
"""Label of a namespace in which Katib adds that container; without it no trial ever ends for Katib."""

LAST_LINES = 20

_GROUP, _VERSION, _EXPERIMENTS, _TRIALS = "kubeflow.org", "v1beta1", "experiments", "trials"
_ATTEMPTS = 5
_GONE, _CONFLICT, _NOT_FOUND = 410, 409, 404
_TRANSIENT = (429, 500, 502, 503, 504)
_WATCH_SECONDS = 300
_HINTS = {
    401: "; log in to the cluster",
    403: "; the service account must be allowed to get, list, watch, create and delete kubeflow.org experiments and "
    "trials, and to list pods and get their logs",
    404: "; is Katib installed, and the namespace right?",
}
_KLOG = re.compile(r"^[IWEF]\d{4} \S+ +\d+ \S+\] ?")


class Katib:
    """The Experiments of one namespace.

    Args:
        api: connection to the cluster, from `kubernetes.config`.
        namespace: of the Experiments and their trials.
        pause: seconds before a request that failed is made again, doubled every time.

    Raises:
        SearchError: from every method, when the cluster cannot be reached or refuses.
    """

    def __init__(self, api: client.ApiClient, namespace: str, *, pause: float = 1.0) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._namespace = namespace
        self._pause = pause

    def create(self, manifest: Mapping[str, Any]) -> str:
        """Create an Experiment, or join the one of its name that makes the same search; returns the name.

        Raises:
            SearchError: another search has the name, or it is being deleted.
        """
        name, identity = manifest["metadata"]["name"], manifest["metadata"]["annotations"][IDENTITY]
        with self._errors():
            try:
                self._objects.create_namespaced_custom_object(
                    _GROUP, _VERSION, self._namespace, _EXPERIMENTS, dict(manifest), _request_timeout=60
                )
            except ApiException as error:
                if error.status != _CONFLICT:
                    raise
            else:
                logger.info("created the search %s in %s", name, self._namespace)
                return str(name)
        there = self._get(name)["metadata"]
        if there.get("annotations", {}).get(IDENTITY) != identity:
            raise SearchError(
                f"the name {name} must be free or belong to the same search, belongs to another one in "
                f"{self._namespace}; give another name, or delete that Experiment"
            )
        if there.get("deletionTimestamp"):
            raise SearchError(f"the search {name} is being deleted; run again when it is gone")
        logger.info("joined the search %s in %s", name, self._namespace)
        return str(name)

    def wait(self, name: str, *, timeout_seconds: float) -> V1beta1ExperimentStatus:
        """Watch an Experiment until it has succeeded, and return its status.

        Raises:
            SearchError: it failed, was deleted, has not ended in time, or no trial reported the objective. The error
                ends with the last lines that a trial which failed, or hangs, wrote.
        """
        deadline = time.monotonic() + timeout_seconds
        planned, done = int(self._get(name)["spec"]["maxTrialCount"]), 0
        status = V1beta1ExperimentStatus()
        with progress("search", planned) as advance:
            for status in self._states(name, deadline):
                advance(_ended_trials(status) - done)
                done = _ended_trials(status)
                verdict = _verdict(status)
                if verdict is not None:
                    return self._judged(name, status, verdict)
        unseen = "" if done else f"; no trial has ended: is {self._namespace} labelled {INJECTION}?"
        raise SearchError(
            f"the search {name} must end within {timeout_seconds:g} s, has not ({_counts(status)}){unseen}"
            f"{self._last_words(status)}"
        )

    def trials(self, name: str) -> list[dict[str, Any]]:
        """Every Trial of an Experiment, as the cluster holds it."""
        with self._errors():
            found = self._objects.list_namespaced_custom_object(
                _GROUP,
                _VERSION,
                self._namespace,
                _TRIALS,
                label_selector=f"katib.kubeflow.org/experiment={name}",
                _request_timeout=60,
            )
        return list(found["items"])

    def delete(self, name: str) -> None:
        """Delete an Experiment with its trials and their pods; nothing happens when it is gone."""
        with self._errors():
            try:
                self._objects.delete_namespaced_custom_object(
                    _GROUP,
                    _VERSION,
                    self._namespace,
                    _EXPERIMENTS,
                    name,
                    propagation_policy="Foreground",
                    _request_timeout=60,
                )
            except ApiException as error:
                if error.status != _NOT_FOUND:
                    raise

    def _states(self, name: str, deadline: float) -> Iterator[V1beta1ExperimentStatus]:
        """The status of an Experiment now and after every change, until the deadline."""
        while True:
            found = self._get(name)
            yield _status(found)
            left = deadline - time.monotonic()
            if left <= 0:
                return
            seconds = max(1, round(min(left, _WATCH_SECONDS)))
            for event in self._events(name, found["metadata"]["resourceVersion"], seconds):
                if event["type"] == "DELETED":
                    raise SearchError(f"the search {name} must not be deleted while it is awaited, was")
                yield _status(event["object"])
            time.sleep(self._pause)

    def _events(self, name: str, version: str, seconds: int) -> Iterator[dict[str, Any]]:
        """Changes of an Experiment after one of its versions; ends when the cluster drops the watch or the version."""
        with self._errors():
            try:
                yield from watch.Watch().stream(
                    self._objects.list_namespaced_custom_object,
                    _GROUP,
                    _VERSION,
                    self._namespace,
                    _EXPERIMENTS,
                    field_selector=f"metadata.name={name}",
                    resource_version=version,
                    timeout_seconds=seconds,
                    _request_timeout=(10, seconds + 10),
                )
            except ApiException as error:
                if error.status not in (_GONE, *_TRANSIENT):
                    raise
                logger.info(
                    "the watch of the search %s ended (%s %s) and begins again", name, error.status, error.reason
                )
            except HTTPError as error:
                logger.info("the watch of the search %s was cut off (%s) and begins again", name, error)

    def _get(self, name: str) -> dict[str, Any]:
        with self._errors():
            for attempt in itertools.count(1):
                try:
                    found: dict[str, Any] = self._objects.get_namespaced_custom_object(
                        _GROUP, _VERSION, self._namespace, _EXPERIMENTS, name, _request_timeout=60
                    )
                    break
                except (ApiException, HTTPError) as error:
                    if isinstance(error, ApiException) and error.status == _NOT_FOUND:
                        raise SearchError(
                            f"the search {name} must be in {self._namespace}, is not: deleted?"
                        ) from error
                    transient = isinstance(error, HTTPError) or error.status in _TRANSIENT
                    if not transient or attempt == _ATTEMPTS:
                        raise
                    time.sleep(self._pause * 2 ** (attempt - 1))
        return found

    def _judged(
        self, name: str, status: V1beta1ExperimentStatus, verdict: V1beta1ExperimentCondition
    ) -> V1beta1ExperimentStatus:
        """The status of a search that found something; raises `SearchError` for one that did not."""
        optimal = status.current_optimal_trial
        if verdict.type == "Failed":
            why = verdict.message or verdict.reason or "no reason given"
            raise SearchError(f"the search {name} failed: {why} ({_counts(status)}){self._last_words(status)}")
        if optimal is None or not optimal.best_trial_name:
            raise SearchError(
                f"at least one trial of {name} must report the objective, none did ({_counts(status)})"
                f"{self._last_words(status)}"
            )
        logger.info("search %s: %s; best is %s", name, _counts(status), optimal.best_trial_name)
        return status

    def _last_words(self, status: V1beta1ExperimentStatus) -> str:
        """What a trial that failed, or hangs, said last; empty when there is none."""
        lists = (
            status.failed_trial_list,
            status.metrics_unavailable_trial_list,
            status.running_trial_list,
            status.pending_trial_list,
        )
        trial = next((names[-1] for names in lists if names), None)
        if trial is None:
            return ""
        try:
            with self._errors():
                words = self._words(trial)
        except SearchError as error:
            words = str(error)
        return f"\n{trial}: {words}"

    def _words(self, trial: str) -> str:
        selector = f"batch.kubernetes.io/job-name={trial}"
        pods = self._core.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=60).items
        if not pods:
            return "no pod"
        pod = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
        for container in (COLLECTOR, CONTAINER):
            text = self._log(pod.metadata.name, container)
            if text:
                return "\n" + text
        return _waits_for(pod)

    def _log(self, pod: str, container: str) -> str:
        """Last lines of a container, without the prefix of Katib's collector; empty when it has written none."""
        try:
            text = self._core.read_namespaced_pod_log(
                pod, self._namespace, container=container, tail_lines=LAST_LINES, _request_timeout=60
            )
        except ApiException as error:
            if error.status not in (400, _NOT_FOUND):  # no such container, or it has not started
                raise
            return ""
        return "\n".join(_KLOG.sub("", line) for line in text.splitlines() if line.strip())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            said = " ".join(str(error.body or "").split())[:300]
            words = f"the cluster refuses: {error.status} {error.reason}{_HINTS.get(error.status, '')} {said}"
            raise SearchError(words.strip()) from error
        except HTTPError as error:
            raise SearchError(f"the cluster must answer, does not: {error}") from error


def _status(experiment: Mapping[str, Any]) -> V1beta1ExperimentStatus:
    try:
        status = V1beta1ExperimentStatus.from_dict(experiment.get("status") or {})
    except ValueError as error:
        raise SearchError(f"the status of an Experiment must be as Katib writes it: {error}") from error
    return status or V1beta1ExperimentStatus()


def _verdict(status: V1beta1ExperimentStatus) -> V1beta1ExperimentCondition | None:
    """The condition that ends an Experiment."""
    conditions = status.conditions or []
    return next((c for c in conditions if c.type in ("Succeeded", "Failed") and c.status == "True"), None)


def _ended_trials(status: V1beta1ExperimentStatus) -> int:
    return (status.trials or 0) - (status.trials_running or 0) - (status.trials_pending or 0)


def _counts(status: V1beta1ExperimentStatus) -> str:
    """Trials by state, in words."""
    numbers = {
        "succeeded": status.trials_succeeded,
        "stopped early": status.trials_early_stopped,
        "failed": status.trials_failed,
        "without metrics": status.trial_metrics_unavailable,
        "killed": status.trials_killed,
        "running": status.trials_running,
        "pending": status.trials_pending,
    }
    return "trials: " + (", ".join(f"{number} {state}" for state, number in numbers.items() if number) or "none")


def _waits_for(pod: client.V1Pod) -> str:
    """Why a pod has no output."""
    for container in pod.status.container_statuses or []:
        waiting = container.state.waiting
        if waiting is not None:
            return f"{waiting.reason}: {waiting.message or 'no message'}"
    for condition in pod.status.conditions or []:
        if condition.status == "False" and condition.message:
            return f"{condition.reason}: {condition.message}"
    return f"no output, {pod.status.phase}"
