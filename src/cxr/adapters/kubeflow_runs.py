"""What Kubeflow Pipelines is told of runs and tells of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cxr.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the Kubeflow Pipelines API is, and how to get in.

    Attributes:
        host: its address; https:// unless it says otherwise.
        token: bearer token, for an API behind authentication.
        token_file: file that holds it instead, read at every connection: a cluster changes it every hour.
        namespace: of the user, where Kubeflow has several; None where it has one.
        certificate: file of certificate authorities to trust instead of the system's.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    namespace: str | None = None
    certificate: Path | None = None

    @property
    def address(self) -> str:
        """The host with a scheme and without a slash at its end."""
        return (self.host if "://" in self.host else f"https://{self.host}").rstrip("/")

    def bearer(self) -> str | None:
        """The token, from its file when there is one; raises `PipelineError` when that cannot be read."""
        if self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise PipelineError(f"{self.token_file} must be a readable file: {error.strerror}") from error


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A run to start on a cluster, at once or again and again.

    Attributes:
        package: compiled pipeline, as YAML.
        arguments: of the pipeline.
        name: of the run, or of the recurring run.
        experiment: Kubeflow's, that the run belongs to.
        service_account: that the tasks run as; None for the default one.
        pipeline_root: address where artifacts are kept; None for the server's own.
        cached: False executes every task, whatever its caching options.
    """

    package: str
    arguments: Mapping[str, Any]
    name: str
    experiment: str
    service_account: str | None = None
    pipeline_root: str | None = None
    cached: bool = True

    def digest(self, *more: str) -> str:
        """SHA-256 of all that the run depends on, and of `more`."""
        parts = [self.package, self.arguments, self.service_account, self.pipeline_root, self.cached, self.experiment]
        return hashlib.sha256(json.dumps([*parts, *more], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """A run that the server knows.

    Attributes:
        run_id: the server's.
        name: for people.
        created: with its time zone.
        ended: it succeeded, failed or was canceled.
    """

    run_id: str
    name: str
    created: datetime
    ended: bool


@dataclass(frozen=True, kw_only=True)
class PipelineVersion:
    """A version of an uploaded pipeline.

    Attributes:
        pipeline_id, version_id: the server's.
        pipeline, version: names, for people.
        description: that it was uploaded with.
        parameters: name to whether it must be given.
    """

    pipeline_id: str
    version_id: str
    pipeline: str
    version: str
    description: str
    parameters: Mapping[str, bool]

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise `PipelineError` unless these are arguments that the pipeline can start with."""
        for name in arguments:
            if name not in self.parameters:
                raise PipelineError(
                    f"an argument must be one of the pipeline's ({', '.join(sorted(self.parameters))}), is {name}; "
                    f"correct it, or upload the version of {self.pipeline} that has it"
                )
        missing = [name for name, needed in self.parameters.items() if needed and name not in arguments]
        if missing:
            raise PipelineError(f"{', '.join(sorted(missing))} must be given to the pipeline {self.pipeline}")
