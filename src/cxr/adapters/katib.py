"""Katib's Experiments in a cluster: created or joined, watched to their end, read back, deleted."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from kubeflow_katib_api.models import V1beta1ExperimentCondition, V1beta1ExperimentStatus
from kubernetes import client

from cxr.adapters.custom_objects import CustomObjects, Kind
from cxr.adapters.katib_trial import CONTAINER
from cxr.adapters.pod_logs import PodLogs
from cxr.errors import SearchError
from cxr.progress import progress

logger = logging.getLogger(__name__)

COLLECTOR = "metrics-logger-and-collector"
"""Container that Katib puts into a trial's pod; the training's output goes to its log, none to the training's own."""

INJECTION = "katib.kubeflow.org/metrics-collector-injection: enabled"
"""Label of a namespace in which Katib adds that container; without it no trial ever ends for Katib."""

EXPERIMENTS = Kind(
    group="kubeflow.org",
    version="v1beta1",
    plural="experiments",
    noun="search",
    error=SearchError,
    hints={
        403: "the service account must be allowed to get, list, watch, create and delete kubeflow.org experiments, to "
        "list trials and pods, and to get pods/log",
        404: "is Katib installed, and the namespace right?",
    },
)

_TRIALS = "trials"


class Katib:
    """The Experiments of one namespace.

    Args:
        api: connection to the cluster.
        namespace: of the Experiments and their trials.
        pause: seconds before a request that failed is made again, doubled every time.

    Raises:
        ClusterError: from every method, when the cluster cannot be reached or refuses.
    """

    def __init__(self, api: client.ApiClient, namespace: str, *, pause: float = 1.0) -> None:
        self._experiments = CustomObjects(api, namespace, EXPERIMENTS, pause=pause)
        self._logs = PodLogs(api, namespace)
        self._namespace = namespace

    def create(self, manifest: Mapping[str, Any]) -> str:
        """Create an Experiment, or join the one of its name that makes the same search.

        Returns:
            What tells this Experiment from all others, also from a later one of its name.

        Raises:
            SearchError: another search has the name, or it is being deleted and does not go.
        """
        return str(self._experiments.create(manifest)["metadata"]["uid"])

    def wait(self, name: str, *, planned: int, timeout_seconds: float) -> V1beta1ExperimentStatus:
        """Watch an Experiment until it has succeeded, and return its status.

        Args:
            name: of the Experiment.
            planned: trials that it makes.
            timeout_seconds: from now on.

        Raises:
            SearchError: it failed, was deleted, has not ended in time, or no trial reported the objective. The error
                ends with the last lines that a trial which failed, or hangs, wrote.
        """
        deadline = time.monotonic() + timeout_seconds
        done, status = 0, V1beta1ExperimentStatus()
        with progress("search", planned) as advance:
            for found in self._experiments.states(name, deadline):
                status = _status(found)
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
        return self._experiments.select(_TRIALS, f"katib.kubeflow.org/experiment={name}")

    def delete(self, name: str) -> None:
        """Delete an Experiment with its trials and their pods; nothing happens when it is gone."""
        self._experiments.delete(name)

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
        words = self._logs.last_words(f"batch.kubernetes.io/job-name={trial}", (COLLECTOR, CONTAINER))
        return f"\n{trial}: {words}"


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
