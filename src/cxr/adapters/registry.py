"""Tracking runs and registered models in MLflow; the only module that imports it.

Everything here may be called again after a kill: a run is found by its key and completed, a version by the digest of
its bundle. A local `sqlite:///` store keeps its files in `mlartifacts/` beside the database.
"""

import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cxr.contracts.files import new_folder
from cxr.errors import RegistryError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.tracking import MlflowClient

CHALLENGER = "challenger"
CHAMPION = "champion"

_KEY_TAG = "cxr.key"
_BUNDLE_TAG = "cxr.bundle"
_SQLITE = "sqlite:///"
_NAME = re.compile(r"[\w .-]+")
_PARAMS_PER_CALL = 100
_METRICS_PER_CALL = 1000

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A version of a registered model: the run that made it, the digest of its bundle and the address of its files."""

    model: str
    version: str
    run_id: str
    bundle: str
    source: str


class Registry:
    """A tracking server with a model registry, at an MLflow URI (`sqlite:///FILE`, `http://HOST`, …).

    Every method raises `RegistryError` when the server cannot be reached or refuses.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        with self._errors():
            self._client = _connect(tracking_uri)

    def record(
        self,
        *,
        experiment: str,
        name: str,
        key: str,
        params: Mapping[str, object],
        metrics: Mapping[str, float | Sequence[float]],
        artifacts: Mapping[str, Path] | None = None,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        status: Status = "FINISHED",
    ) -> str:
        """Write one run as a whole and return its id; a run of this `key` that was ended before is left as it is.

        Args:
            experiment: created when it does not exist.
            name: of the run, for people.
            key: identity of what is recorded, unique within the experiment.
            params: dotted name to value.
            metrics: name to a value, or to one value per step.
            artifacts: folder in the run ("" is its root) to a local file or folder that is copied there.
            tags: searchable texts.
            parent: id of the run under which this one is nested.
            status: "KILLED" for a pruned trial.
        """
        with self._errors():
            experiment_id = self._experiment(experiment)
            run_id, ended = self._run(experiment_id, name, key, _nested(parent))
            if not ended:
                self._log(run_id, params, metrics, tags or {})
                for folder, path in (artifacts or {}).items():
                    upload = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
                    upload(run_id, str(path), folder or None)
                self._client.set_terminated(run_id, status=status)
        return run_id

    def begin(self, *, experiment: str, name: str, key: str) -> str:
        """Id of the run of this `key`, made when there is none; `record` with the same key completes and ends it."""
        with self._errors():
            return self._run(self._experiment(experiment), name, key, {})[0]

    def register(self, *, model: str, run_id: str, folder: str, bundle: str, description: str) -> RegisteredVersion:
        """Make the run's artifact `folder` a version of `model`, or find the version of the same `bundle` digest."""
        if not _NAME.fullmatch(model):
            raise RegistryError(f"a model name must be letters, digits, blanks, dots and dashes, is {model!r}")
        with self._errors():
            if model not in {found.name for found in self._client.search_registered_models(f"name = '{model}'")}:
                self._client.create_registered_model(model)
            same = self._client.search_model_versions(f"name = '{model}' and tags.`{_BUNDLE_TAG}` = '{bundle}'")
            if same:
                return _version(same[0])
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{folder}"
            made = self._client.create_model_version(
                model, source, run_id, tags={_BUNDLE_TAG: bundle}, description=description
            )
            return _version(made)

    def alias(self, model: str, alias: str) -> RegisteredVersion | None:
        """The version of `model` that has `alias`; None when there is none, or no such model."""
        with self._errors():
            found = self._model(model)
            version = None if found is None else found.aliases.get(alias)
            return None if version is None else _version(self._client.get_model_version(model, version))

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Give `alias` to this version and take it from any other."""
        with self._errors():
            self._client.set_registered_model_alias(model, alias, version)

    def download(self, version: RegisteredVersion, folder: Path) -> Path:
        """Copy the files of a version to a folder below `folder`, which is replaced, and return it."""
        name = Path(version.source).name
        with new_folder(folder) as draft, self._errors():
            self._client.download_artifacts(version.run_id, name, str(draft))
        return folder / name

    def address(self, model: str, version: str) -> str:
        """Where the files of a version lie, for whoever reads them without the registry."""
        with self._errors():
            return str(self._client.get_model_version_download_uri(model, version))

    def artifact(self, run_id: str, path: str) -> bytes:
        """Content of one file of a run."""
        with self._errors(), tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, path, folder)).read_bytes()

    def _model(self, name: str) -> "RegisteredModel | None":
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return str(self._client.create_experiment(name, artifact_location=_artifact_location(self._uri)))
        if found.lifecycle_stage == "deleted":
            raise RegistryError(f"experiment {name!r} must be active, is deleted; restore it or choose another name")
        return str(found.experiment_id)

    def _run(self, experiment_id: str, name: str, key: str, tags: Mapping[str, str]) -> tuple[str, bool]:
        found = self._client.search_runs([experiment_id], f"tags.`{_KEY_TAG}` = '{key}'", max_results=1)
        if found:
            return found[0].info.run_id, found[0].info.status in {"FINISHED", "FAILED", "KILLED"}
        run = self._client.create_run(experiment_id, run_name=name, tags={**tags, _KEY_TAG: key})
        return run.info.run_id, False

    def _log(
        self,
        run_id: str,
        params: Mapping[str, object],
        metrics: Mapping[str, float | Sequence[float]],
        tags: Mapping[str, str],
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        values = [Param(name, str(value)) for name, value in params.items()]
        points = [
            Metric(name, float(value), now, step)
            for name, series in metrics.items()
            for step, value in enumerate(series if isinstance(series, Sequence) else [series])
        ]
        self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        for start in range(0, len(values), _PARAMS_PER_CALL):
            self._client.log_batch(run_id, params=values[start : start + _PARAMS_PER_CALL])
        for start in range(0, len(points), _METRICS_PER_CALL):
            self._client.log_batch(run_id, metrics=points[start : start + _METRICS_PER_CALL])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError  # MLflow lets those of opening a database through

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            # Not chained: what was raised may hold a password that is part of the address.
            words = _without_password(f"{self._uri} does not answer, or refuses: {' '.join(str(error).split())}")
            raise RegistryError(f"the model registry at {words}") from None


def _connect(uri: str) -> "MlflowClient":
    """A client that reports nothing to anybody, gives up in seconds rather than minutes, and only logs warnings."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if uri.startswith(_SQLITE):
        Path(uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's own use of SQLAlchemy
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return MlflowClient(uri, registry_uri=uri)


def _artifact_location(uri: str) -> str | None:
    """Beside a local database; a server knows its own."""
    if not uri.startswith(_SQLITE):
        return None
    return (Path(uri.removeprefix(_SQLITE)).resolve().parent / "mlartifacts").as_uri()


def _nested(parent: str | None) -> dict[str, str]:
    return {} if parent is None else {"mlflow.parentRunId": parent}


def _version(found: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(
        model=found.name,
        version=str(found.version),
        run_id=str(found.run_id),
        bundle=found.tags.get(_BUNDLE_TAG, ""),
        source=str(found.source),
    )


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//…@", text)
