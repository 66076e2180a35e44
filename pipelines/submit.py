"""A pipeline on a cluster: sent to the Kubeflow Pipelines API."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the Kubeflow Pipelines API is, and how to get in.

    Attributes:
        host: its address; https:// unless it says otherwise.
        token: bearer token, for an API behind authentication.
        namespace: of the user, where Kubeflow has several; None where it has one.
        certificate: file of certificate authorities to trust instead of the system's.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    namespace: str | None = None
    certificate: Path | None = None

    @property
    def address(self) -> str:
        """The host with a scheme and without a slash at its end."""
        return (self.host if "://" in self.host else f"https://{self.host}").rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A run to start on a cluster.

    Attributes:
        package: compiled pipeline, as YAML.
        arguments: of the pipeline.
        name: of the run.
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


def submit(endpoint: Endpoint, submission: Submission) -> str:
    """Start a run and return the address of its page; raises `PipelineError` when the API is not there or refuses."""
    with _errors(endpoint), tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        package.write_text(submission.package, encoding="utf-8")
        run = _client(endpoint).create_run_from_pipeline_package(
            str(package),
            arguments=dict(submission.arguments),
            run_name=submission.name,
            experiment_name=submission.experiment,
            namespace=endpoint.namespace,
            pipeline_root=submission.pipeline_root,
            enable_caching=None if submission.cached else False,
            service_account=submission.service_account,
        )
    return f"{endpoint.address}/#/runs/details/{run.run_id}"


def _client(endpoint: Endpoint) -> Any:
    """KFP's client, made after one look at whether the API is there: by itself it tries for half a minute."""
    import kfp_server_api
    from kfp.client import Client

    options = {"existing_token": endpoint.token, "ssl_ca_cert": endpoint.certificate and str(endpoint.certificate)}
    configuration = kfp_server_api.Configuration(host=endpoint.address)
    configuration.ssl_ca_cert = options["ssl_ca_cert"]
    if endpoint.token:
        configuration.api_key = {"authorization": endpoint.token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    kfp_server_api.HealthzServiceApi(kfp_server_api.ApiClient(configuration)).healthz_service_get_healthz()
    return Client(host=endpoint.address, namespace=endpoint.namespace or "kubeflow", **options)


@contextlib.contextmanager
def _errors(endpoint: Endpoint) -> Iterator[None]:
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the client's own, on every use
            yield
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
