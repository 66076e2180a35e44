"""Whether an alert starts a run, and starting it: once per incident, never two at a time, never soon after the last.

Nothing is kept here. Kubeflow's list of runs is the memory: a run carries its incident in its name, so that a trigger
that was killed at any point, even between asking for a run and hearing of it, knows what it has done.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cxr.adapters.kubeflow_pipelines import KubeflowPipelines, connect
from cxr.adapters.kubeflow_runs import PipelineRun, PipelineVersion
from cxr.contracts.drift import Alert
from cxr.errors import PipelineError
from cxr.retraining.settings import DATA_VERSION, Settings

logger = logging.getLogger(__name__)

Outcome = Literal["started", "ended", "known", "going", "cooling"]
OUTCOMES: tuple[Outcome, ...] = ("started", "ended", "known", "going", "cooling")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What came of an alert.

    Attributes:
        outcome: started a run; or none, because the incident has ended, is known, a run is still going on, or the last
            one is not long ago.
        run: the one that was started, or that stands in the way.
    """

    outcome: Outcome
    run: str | None = None


def run_name(incident: str) -> str:
    """Name of the run of an incident."""
    return f"retraining on drift {incident}"


class Trigger:
    """Takes alerts, one at a time; safe to use from several threads."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._lock = threading.Lock()

    def take(self, alert: Alert) -> Decision:
        """Start a run if the alert is one to start a run for.

        Raises:
            PipelineError: Kubeflow does not answer or refuses, or the pipeline is not there; the alert is to come
                again.
        """
        if alert.event == "ended":
            return Decision(outcome="ended")
        with self._lock, connect(self._settings.endpoint) as kubeflow:
            decision = self._against(kubeflow.runs(self._settings.experiment), alert.incident)
            if decision is None:
                decision = Decision(outcome="started", run=self._start(kubeflow, alert.incident))
        logger.info("drift alert", extra={"incident": alert.incident, "outcome": decision.outcome, "run": decision.run})
        return decision

    def check(self) -> None:
        """Raise `PipelineError` unless a run could be started now."""
        with connect(self._settings.endpoint) as kubeflow:
            self._version(kubeflow).check(self._arguments(incident=""))

    def _against(self, runs: tuple[PipelineRun, ...], incident: str) -> Decision | None:
        """The reason for not starting a run; None when there is none."""
        for run in runs:
            if run.name == run_name(incident):
                return Decision(outcome="known", run=run.run_id)
        for run in runs:
            if not run.ended:
                return Decision(outcome="going", run=run.run_id)
        if runs and self._now() - runs[0].created < self._settings.cool_down:
            return Decision(outcome="cooling", run=runs[0].run_id)
        return None

    def _start(self, kubeflow: KubeflowPipelines, incident: str) -> str:
        return kubeflow.start(
            self._version(kubeflow),
            name=run_name(incident),
            experiment=self._settings.experiment,
            arguments=self._arguments(incident),
            service_account=self._settings.service_account,
        )

    def _version(self, kubeflow: KubeflowPipelines) -> PipelineVersion:
        settings = self._settings
        version = kubeflow.version(settings.pipeline, settings.version)
        if version is None:
            wanted = f"version {settings.version} of {settings.pipeline}" if settings.version else settings.pipeline
            raise PipelineError(f"the pipeline {wanted} must be in Kubeflow, is not; run python -m pipelines upload")
        return version

    def _arguments(self, incident: str) -> dict[str, object]:
        return {**self._settings.arguments, DATA_VERSION: f"drift {incident}"}
