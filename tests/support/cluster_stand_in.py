"""What Katib, Trainer and the kubelet leave in a cluster, for tests of the flow of a search and of a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from support.kube_api import CREATED, KubeApi

NAMESPACE = "films"
TRIAL_POD = "batch.kubernetes.io/job-name"


@contextmanager
def connected() -> Iterator[tuple["Cluster", client.ApiClient]]:
    """A cluster and a connection to it, which leaves trying again to those who use it."""
    with Cluster() as cluster:
        configuration = client.Configuration(host=cluster.url)
        configuration.retries = False
        with client.ApiClient(configuration) as api:
            yield cluster, api


class Cluster(KubeApi):
    """A cluster whose controllers are the test."""

    @property
    def experiments(self) -> dict[str, Any]:
        return self._named("experiments")

    @property
    def trainjobs(self) -> dict[str, Any]:
        return self._named("trainjobs")

    @property
    def trials(self) -> dict[str, Any]:
        return self._named("trials")

    def became(self, name, **status):
        """An Experiment or a TrainJob has a new status."""
        self.set_status(self._plural(name), name, status)

    def vanish(self, name):
        """Somebody deletes an Experiment or a TrainJob."""
        self.remove(self._plural(name), name)

    def add_trial(self, experiment, name, condition, assignments, best=None, *, minute=0, message=""):
        metrics = (
            [] if best is None else [{"name": "validation_macro_auroc", "max": best, "min": "0.5", "latest": best}]
        )
        meta = {
            "name": name,
            "namespace": NAMESPACE,
            "creationTimestamp": f"2026-01-31T12:{minute:02}:00Z",
            "labels": {"katib.kubeflow.org/experiment": experiment},
        }
        conditions = [
            {"type": "Created", "status": "True"},
            {"type": "Running", "status": "False"},
            {"type": condition, "status": "True", "message": message},
        ]
        status = {
            "conditions": conditions,
            "observation": {"metrics": metrics},
            "startTime": CREATED,
            "completionTime": "2026-01-31T12:01:30Z",
        }
        spec = {"parameterAssignments": [{"name": n, "value": v} for n, v in assignments.items()]}
        self.add("trials", {"metadata": meta, "spec": spec, "status": status})

    def add_pod(self, owner, logs=None, status=None, label=TRIAL_POD, name=None):
        name = name or f"{owner}-x"
        meta = {"name": name, "namespace": NAMESPACE, "labels": {label: owner}}
        self.add("pods", {"metadata": meta, "status": status or {"phase": "Failed"}})
        self.logs.update({(name, container): text for container, text in (logs or {}).items()})

    def _named(self, plural):
        return {name: value for (kind, _, name), value in self.objects.items() if kind == plural}

    def _plural(self, name):
        return "trainjobs" if name in self.trainjobs else "experiments"
