"""Kubeflow Pipelines' API: runs, uploaded pipelines and recurring runs.

`connect` is the way in; what it yields is good for as long as the block lasts. KFP's own client does the talking.
"""

import contextlib
import hashlib
import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cxr.adapters.kubeflow_runs import Endpoint, PipelineRun, PipelineVersion, Submission
from cxr.errors import PipelineError

_PAGE = 100
_HEALTH_TIMEOUT = (3.0, 10.0)
_ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})


@contextlib.contextmanager
def connect(endpoint: Endpoint) -> Iterator["KubeflowPipelines"]:
    """Connect; raises `PipelineError`, here and within the block, when the API is not there or refuses."""
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the client's own, on every use
            yield KubeflowPipelines(_client(endpoint), endpoint.namespace)
    except ApiException as error:
        hint = "; give a valid --token" if error.status in (401, 403) else ""
        said = " ".join(str(error.body or "").split())[:300]
        words = f"the Kubeflow Pipelines API at {endpoint.address} refuses: {error.status} {error.reason}{hint} {said}"
        raise PipelineError(words.strip()) from error
    except (HTTPError, OSError) as error:
        raise PipelineError(
            f"the Kubeflow Pipelines API must answer at {endpoint.address}, does not ({error}); check --host, and that "
            "it can be reached from here (kubectl port-forward -n kubeflow svc/ml-pipeline 8888)"
        ) from error


def _client(endpoint: Endpoint) -> Any:
    """KFP's client, made after one look at whether the API is there: by itself it tries for half a minute."""
    import kfp_server_api
    from kfp.client import Client

    token = endpoint.bearer()
    options = {"existing_token": token, "ssl_ca_cert": endpoint.certificate and str(endpoint.certificate)}
    configuration = kfp_server_api.Configuration(host=endpoint.address)
    configuration.ssl_ca_cert = options["ssl_ca_cert"]
    if token:
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    health = kfp_server_api.HealthzServiceApi(kfp_server_api.ApiClient(configuration))
    health.healthz_service_get_healthz(_request_timeout=_HEALTH_TIMEOUT)
    return Client(host=endpoint.address, namespace=endpoint.namespace or "kubeflow", **options)


class KubeflowPipelines:
    """What is asked of the API; use it within `connect`."""

    def __init__(self, client: Any, namespace: str | None) -> None:
        self._client, self._namespace = client, namespace

    def submit(self, submission: Submission) -> str:
        """Start a run of a compiled pipeline; returns its id."""
        with _package(submission.package) as path:
            run = self._client.run_pipeline(
                self._experiment(submission.experiment),
                submission.name,
                pipeline_package_path=path,
                params=dict(submission.arguments),
                pipeline_root=submission.pipeline_root,
                enable_caching=None if submission.cached else False,
                service_account=submission.service_account,
            )
        return str(run.run_id)

    def start(
        self,
        version: PipelineVersion,
        *,
        name: str,
        experiment: str,
        arguments: Mapping[str, Any],
        service_account: str | None = None,
    ) -> str:
        """Start a run of an uploaded pipeline; returns its id."""
        version.check(arguments)
        run = self._client.run_pipeline(
            self._experiment(experiment),
            name,
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            params=dict(arguments),
            service_account=service_account,
        )
        return str(run.run_id)

    def runs(self, experiment: str) -> tuple[PipelineRun, ...]:
        """The last hundred runs of an experiment, the newest first; none when there is no such experiment."""
        found = self._client.list_experiments(namespace=self._namespace, filter=_named(experiment)).experiments
        if not found:
            return ()
        listed = self._client.list_runs(
            experiment_id=found[0].experiment_id, page_size=_PAGE, sort_by="created_at desc"
        )
        return tuple(
            PipelineRun(run_id=run.run_id, name=run.display_name, created=run.created_at, ended=run.state in _ENDED)
            for run in listed.runs or ()
        )

    def version(self, pipeline: str, version: str | None = None) -> PipelineVersion | None:
        """A version of an uploaded pipeline, the newest unless one is named; None when it was not uploaded."""
        pipeline_id = self._pipeline_id(pipeline)
        if pipeline_id is None:
            return None
        listed = self._client.list_pipeline_versions(
            pipeline_id, page_size=1, sort_by="created_at desc", filter=_named(version) if version else None
        )
        return _version(pipeline, listed.pipeline_versions[0]) if listed.pipeline_versions else None

    def upload(self, package: str, *, pipeline: str, version: str) -> PipelineVersion:
        """Upload a compiled pipeline as a version; the same one again changes nothing.

        Raises:
            PipelineError: a version of this name is there and is another one.
        """
        import kfp_server_api

        said = f"sha256:{hashlib.sha256(package.encode()).hexdigest()}"
        known = self.version(pipeline, version)
        if known is not None:
            if known.description != said:
                raise PipelineError(
                    f"a version of a pipeline must stay what it is, {version} of {pipeline} is there and differs; "
                    "give another --version-name"
                )
            return known
        pipeline_id = self._pipeline_id(pipeline)
        if pipeline_id is None:
            new = kfp_server_api.V2beta1Pipeline(display_name=pipeline, name=pipeline, namespace=self._namespace)
            pipeline_id = self._client.pipelines.pipeline_service_create_pipeline(new).pipeline_id
        with _package(package) as path:
            self._client.upload_pipeline_version(path, version, pipeline_id=pipeline_id, description=said)
        uploaded = self.version(pipeline, version)
        if uploaded is None:
            raise PipelineError(f"version {version} of {pipeline} was uploaded and is not listed; try again")
        return uploaded

    def schedule(self, submission: Submission, *, cron: str) -> str:
        """Make a recurring run, in place of those of the same name; returns its id.

        The API cannot change a recurring run. The new one is made before the old ones are deleted, and one that is the
        same already stays, so that after a kill at any point the same call leaves one.

        Args:
            submission: what to run; its name is the recurring run's.
            cron: six fields, the first of which is the second, in UTC.
        """
        said = f"sha256:{submission.digest(cron)}"
        experiment = self._experiment(submission.experiment)
        there = self._client.list_recurring_runs(
            namespace=self._namespace, page_size=_PAGE, filter=_named(submission.name)
        )
        before = list(there.recurring_runs or ())
        kept = next((run.recurring_run_id for run in before if run.description == said and run.mode == "ENABLE"), None)
        if kept is None:
            with _package(submission.package) as path:
                kept = self._client.create_recurring_run(
                    experiment,
                    submission.name,
                    description=said,
                    cron_expression=cron,
                    max_concurrency=1,
                    no_catchup=True,
                    params=dict(submission.arguments),
                    pipeline_package_path=path,
                    pipeline_root=submission.pipeline_root,
                    enable_caching=None if submission.cached else False,
                    service_account=submission.service_account,
                ).recurring_run_id
        for run in before:
            if run.recurring_run_id != kept:
                self._client.delete_recurring_run(run.recurring_run_id)
        return str(kept)

    def _experiment(self, name: str) -> str:
        return str(self._client.create_experiment(name, namespace=self._namespace).experiment_id)

    def _pipeline_id(self, name: str) -> str | None:
        listed = self._client.list_pipelines(namespace=self._namespace, filter=_named(name)).pipelines
        return str(listed[0].pipeline_id) if listed else None


@contextlib.contextmanager
def _package(text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(text, encoding="utf-8")
        yield str(path)


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _version(pipeline: str, found: Any) -> PipelineVersion:
    spec = found.pipeline_spec or {}
    spec = spec.get("pipeline_spec", spec)
    declared = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    return PipelineVersion(
        pipeline_id=found.pipeline_id,
        version_id=found.pipeline_version_id,
        pipeline=pipeline,
        version=found.display_name,
        description=found.description or "",
        parameters={name: not (value.get("isOptional") or "defaultValue" in value) for name, value in declared.items()},
    )
