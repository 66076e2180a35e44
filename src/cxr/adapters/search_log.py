"""A search in MLflow: one run, and one nested in it for every trial."""

from collections.abc import Sequence
from pathlib import Path

from cxr.adapters.registry import Registry, Status
from cxr.contracts.search import Objective
from cxr.contracts.search_report import SearchReport, Trial, TrialState

_STATUS: dict[TrialState, Status] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_METRICS: dict[Objective, str] = {
    "macro_auroc": "validation_macro_auroc",
    "worst_source_auroc": "worst_source_auroc",
}


class SearchLog:
    """Records trials as they end; a search that was killed goes on with the same runs.

    Args:
        tracking_uri: of MLflow.
        experiment: that the runs belong to.
        key: identity of the search.
        objective: that it maximises.

    Raises:
        RegistryError: from every method, when the server cannot be reached or refuses.
    """

    def __init__(self, tracking_uri: str, experiment: str, *, key: str, objective: Objective = "macro_auroc") -> None:
        self._registry = Registry(tracking_uri)
        self._experiment = experiment
        self._metric = _METRICS[objective]
        self._key = f"search-{key}"
        self._run = self._registry.begin(experiment=experiment, name="search", key=self._key)

    def trial(self, trial: Trial) -> None:
        """Record an ended trial, unless it is there."""
        self._registry.record(
            experiment=self._experiment,
            name=f"trial {trial.number}",
            key=f"{self._key}-{trial.number}",
            params=trial.parameters,
            metrics={**self._objective(trial), "seconds": trial.seconds},
            tags={} if trial.reason is None else {"reason": trial.reason},
            parent=self._run,
            status=_STATUS[trial.state],
        )

    def end(self, report: SearchReport, folder: Path) -> None:
        """Record the values that are kept, the importances and the folder that the search wrote."""
        best = next(trial for trial in report.trials if trial.number == report.best)
        shares = {f"importance.{name}": share for name, share in (report.importance or {}).items()}
        self._registry.record(
            experiment=self._experiment,
            name="search",
            key=self._key,
            params={"algorithm": report.algorithm, "seed": report.seed, "films": report.films, **best.parameters},
            metrics={**self._objective(best), "trials": float(len(report.trials)), **shares},
            artifacts={"search": folder},
        )

    def fail(self, reason: str) -> None:
        """Record that no trial was completed."""
        self._registry.record(
            experiment=self._experiment,
            name="search",
            key=self._key,
            params={},
            metrics={},
            tags={"reason": reason},
            status="FAILED",
        )

    def _objective(self, trial: Trial) -> dict[str, float | Sequence[float]]:
        """The objective after every epoch, or its value where no more is known; nothing when nothing was finished."""
        value = trial.curve or trial.value
        return {} if value is None else {self._metric: value}
