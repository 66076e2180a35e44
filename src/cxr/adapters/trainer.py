"""Kubeflow Trainer's TrainJobs in a cluster: created or joined, watched to their end, deleted."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubeflow_trainer_api.models import IoK8sApimachineryPkgApisMetaV1Condition, TrainerV1alpha1TrainJobStatus
from kubernetes import client

from cxr.adapters.custom_objects import CustomObjects, Kind
from cxr.adapters.pod_logs import PodLogs, last_lines
from cxr.adapters.train_job import NODE
from cxr.errors import TrainingError

logger = logging.getLogger(__name__)

TRAIN_JOBS = Kind(
    group="trainer.kubeflow.org",
    version="v1alpha1",
    plural="trainjobs",
    noun="training",
    error=TrainingError,
    hints={
        403: "the service account must be allowed to get, list, watch, create and delete trainer.kubeflow.org "
        "trainjobs, to list pods, and to get pods/log",
        404: "is Kubeflow Trainer installed, and the namespace right?",
    },
)


class Trainer:
    """The TrainJobs of one namespace.

    Args:
        api: connection to the cluster.
        namespace: of the TrainJobs.
        pause: seconds before a request that failed is made again, doubled every time.

    Raises:
        ClusterError: from every method, when the cluster cannot be reached or refuses.
    """

    def __init__(self, api: client.ApiClient, namespace: str, *, pause: float = 1.0) -> None:
        self._jobs = CustomObjects(api, namespace, TRAIN_JOBS, pause=pause)
        self._logs = PodLogs(api, namespace)

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a TrainJob, or join the one that makes the same training.

        Raises:
            TrainingError: the same recipe and films are being trained in another way, or an old TrainJob of the name is
                being deleted and does not go.
        """
        self._jobs.create(manifest)

    def wait(self, name: str, *, timeout_seconds: float, output: Path | None = None) -> None:
        """Watch a TrainJob until it is complete.

        One that is suspended, as Kueue does with those that queue for a place, is waited for.

        Args:
            name: of the TrainJob.
            timeout_seconds: from now on.
            output: folder where torchrun keeps what every process writes, as far as this one sees it: the pods of a
                TrainJob that has failed may be gone, and their logs with them.

        Raises:
            TrainingError: it failed, was deleted, or is not complete in time. The error ends with the last lines of a
                node that failed, or hangs.
        """
        deadline = time.monotonic() + timeout_seconds
        status, told = TrainerV1alpha1TrainJobStatus(), ""
        for found in self._jobs.states(name, deadline):
            status = _status(found)
            conditions = _true(status)
            if "Complete" in conditions:
                logger.info("the training %s is complete", name)
                return
            if "Failed" in conditions:
                failed = conditions["Failed"]
                why = failed.message or failed.reason
                raise TrainingError(
                    f"the training {name} failed: {why} ({_counts(status)}){self._last_words(name, output)}"
                )
            told = _tell(name, status, told)
        raise TrainingError(
            f"the training {name} must be complete within {timeout_seconds:g} s, is not ({_counts(status)})"
            f"{self._last_words(name, output)}"
        )

    def delete(self, name: str) -> None:
        """Delete a TrainJob with its pods; nothing happens when it is gone."""
        self._jobs.delete(name)

    def _last_words(self, name: str, output: Path | None) -> str:
        words = self._logs.last_words(f"jobset.sigs.k8s.io/jobset-name={name}", (NODE,))
        kept = "" if words.startswith("\n") or output is None else _newest_output(output)
        return f"\n{name}: {words}" + (f"\n{kept}" if kept else "")


def _newest_output(folder: Path) -> str:
    """Last lines of the process that was the last to write an error: the others are ended without a word."""
    written = [path for path in folder.rglob("stderr.log") if path.stat().st_size]
    if not written:
        return ""
    return last_lines(max(written, key=lambda path: path.stat().st_mtime_ns).read_text(errors="replace"))


def _status(job: Mapping[str, Any]) -> TrainerV1alpha1TrainJobStatus:
    try:
        status = TrainerV1alpha1TrainJobStatus.from_dict(job.get("status") or {})
    except ValueError as error:
        raise TrainingError(f"the status of a TrainJob must be as Trainer writes it: {error}") from error
    return status or TrainerV1alpha1TrainJobStatus()


def _true(status: TrainerV1alpha1TrainJobStatus) -> dict[str, IoK8sApimachineryPkgApisMetaV1Condition]:
    """Conditions that hold, by type."""
    return {condition.type: condition for condition in status.conditions or [] if condition.status == "True"}


def _tell(name: str, status: TrainerV1alpha1TrainJobStatus, told: str) -> str:
    """Log what became of the nodes when that has changed; returns it."""
    now = _counts(status)
    if now != told:
        logger.info("the training %s: %s", name, now)
    return now


def _counts(status: TrainerV1alpha1TrainJobStatus) -> str:
    """Jobs of the TrainJob by state, in words."""
    if "Suspended" in _true(status):
        return "suspended: it queues for a place, or somebody holds it"
    node = next((job for job in status.jobs_status or [] if job.name == NODE), None)
    if node is None:
        return "no node yet"
    numbers = {"ready": node.ready, "active": node.active, "succeeded": node.succeeded, "failed": node.failed}
    return "jobs: " + (", ".join(f"{number} {state}" for state, number in numbers.items() if number) or "none")
