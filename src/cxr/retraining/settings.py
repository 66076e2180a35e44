"""How a retraining trigger is set up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from cxr.adapters.kubeflow_runs import Endpoint
from cxr.errors import PipelineError, ServingError

DATA_VERSION = "data_version"

_PLAIN = (str, int, float, bool)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one trigger.

    Attributes:
        endpoint: of Kubeflow Pipelines.
        secret_file: with the secret that alerts are signed with, read for each one; None only where nobody else can
            connect.
        arguments: of the pipeline, without `data_version`.
        pipeline: name that it was uploaded under.
        version: of it; the newest when None.
        experiment: Kubeflow's, where all runs of retraining are; scheduled ones belong there too.
        service_account: that tasks run as; None for the default one.
        cool_down: from the last run in the experiment until an alert may start another.
        most_bytes: of one request.
    """

    endpoint: Endpoint
    secret_file: Path | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pipeline: str = "retraining"
    version: str | None = None
    experiment: str = "cxr"
    service_account: str | None = None
    cool_down: timedelta = timedelta(days=7)
    most_bytes: int = 64 * 2**10

    def secret(self) -> bytes | None:
        """The secret; raises `ServingError` when its file does not hold one."""
        if self.secret_file is None:
            return None
        try:
            found = self.secret_file.read_bytes().strip()
        except OSError as error:
            raise ServingError(f"{self.secret_file} must be a readable file: {error.strerror}") from error
        if not found:
            raise ServingError(f"{self.secret_file} must hold a secret, is empty")
        return found


def read_arguments(path: Path) -> dict[str, Any]:
    """Arguments of a pipeline from a YAML or JSON file; raises `PipelineError` when it holds anything else."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PipelineError(f"{path} must be a readable file of YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise PipelineError(f"{path} must hold the arguments of a pipeline by name, holds {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, _PLAIN):
            raise PipelineError(f"{path}: {name} must be text, a number, true or false, is {type(value).__name__}")
    if DATA_VERSION in found:
        raise PipelineError(f"{path} must not hold {DATA_VERSION}: every incident gives its own; remove it")
    return found
