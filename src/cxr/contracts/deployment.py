"""Where a bundle is served, how it gets there, and when a canary takes over."""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from cxr.contracts.cluster import Count, Name
from cxr.contracts.files import Contract
from cxr.contracts.settings import read_settings
from cxr.errors import ClusterError

DEPLOYED_FILE = "deployed.json"
PROMOTED_FILE = "promoted.json"
VALUES_FILE = "values.yaml"

SCHEMES = ("s3://", "gs://", "https://", "http://", "oci://", "hf://", "pvc://")
"""What KServe's storage initializer reads, and claims, which are mounted."""

Mode = Literal["print", "apply", "canary"]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Limits(Contract, frozen=True, kw_only=True):
    """What a canary may do at most, beside the stable predictor over the same time.

    Attributes:
        requests: answered by the canary at least; with fewer nothing can be said, and it is not promoted.
        errors: share of requests that end in a server's error, absolute.
        latency: 99th percentile of the time to answer, as a multiple of the stable one's.
        latency_floor: seconds under which no latency counts as too long.
        refusals: share of films, more than the stable one's.
        referrals: reasons per film, more than the stable one's.
    """

    requests: Count = 200
    errors: Share = 0.01
    latency: Annotated[float, Meta(ge=1)] = 1.5
    latency_floor: Annotated[float, Meta(ge=0)] = 0.1
    refusals: Share = 0.05
    referrals: Share = 0.1


class Canary(Contract, frozen=True, kw_only=True):
    """How a canary is watched.

    Attributes:
        percent: of the traffic. The gateway splits it.
        minutes: of watching, from when the canary has been found well.
        poll_seconds: between two looks.
        prometheus: address of the server that reads the predictors.
    """

    percent: Annotated[int, Meta(ge=1, le=99)] = 10
    minutes: Annotated[float, Meta(gt=0)] = 30.0
    poll_seconds: Seconds = 30.0
    prometheus: str = "http://prometheus-operated.monitoring.svc:9090"
    limits: Limits = msgspec.field(default_factory=Limits)


class Deployment(Contract, frozen=True, kw_only=True):
    """The InferenceService that gets a bundle. It must have been installed by the chart.

    Attributes:
        name, namespace: of the InferenceService.
        model: name in the addresses of the V2 protocol.
        storage_uri: where the bundle lies, for KServe to read; from the registry when empty.
        tracking_uri: MLflow server to ask where the registered bundle lies.
        timeout_seconds: until the new predictor must be well.
        url: where the test request goes; the chart's service of this name in the cluster when empty.
        ca_file: certificate of the authority that signed the predictor's; the variable CXR_CA_CERTIFICATE (PEM) when
            empty, and without it the system's.
        key_file: file with an API key of scope `predict`; the variable CXR_API_KEY when empty.
    """

    name: Name = "cxr"
    namespace: Name = "cxr"
    model: str = "cxr"
    storage_uri: str = ""
    tracking_uri: str = "http://mlflow.cxr.svc:5000"
    timeout_seconds: Seconds = 1200.0
    url: str = ""
    ca_file: str = ""
    key_file: str = ""
    canary: Canary = msgspec.field(default_factory=Canary)


class Deployed(Contract, frozen=True, kw_only=True):
    """What the step `deploy` did.

    Attributes:
        mode: how.
        name, namespace: of the InferenceService.
        bundle: digest of the bundle.
        before: digest of the one that was served until then; empty when it is not known.
        storage_uri: where the bundle lies.
        canary: name of the canary predictor; empty when there is none.
    """

    version: Literal[1] = 1
    mode: Mode
    name: str
    namespace: str
    bundle: str
    before: str = ""
    storage_uri: str
    canary: str = ""


class Traffic(Contract, frozen=True, kw_only=True):
    """What a predictor did over a time.

    Attributes:
        requests: for a prediction, all protocols.
        errors: of them, ended in a server's error.
        p99: seconds to answer, 99th percentile; None without requests.
        films: predicted or refused.
        refused: of the films.
        referred: reasons for which films were referred; a film may have several.
    """

    requests: float = 0.0
    errors: float = 0.0
    p99: float | None = None
    films: float = 0.0
    refused: float = 0.0
    referred: float = 0.0


class Promoted(Contract, frozen=True, kw_only=True):
    """What came of a canary.

    Attributes:
        promoted: it serves all requests now; otherwise it has been removed.
        reasons: one sentence for each limit that it broke.
        canary, stable: the figures.
    """

    version: Literal[1] = 1
    name: str
    namespace: str
    bundle: str
    promoted: bool
    reasons: tuple[str, ...]
    canary: Traffic
    stable: Traffic


def resolve_deployment(source: str = "") -> Deployment:
    """Read where and how a bundle is served.

    Args:
        source: path of a .yaml, .yml or .json file, or YAML or JSON text; empty for the defaults.

    Raises:
        ClusterError: the source cannot be read, a name is unknown (the error gives the nearest), a value breaks its
            type or bounds, or KServe cannot read the storage address.
    """
    deployment = read_settings(source, Deployment, name="deployment", error=ClusterError)
    for name, url in (("url", deployment.url), ("canary.prometheus", deployment.canary.prometheus)):
        if url and not url.startswith(("http://", "https://")):
            raise ClusterError(f"deployment: {name} must begin with http:// or https://, is {url!r}")
    if deployment.storage_uri:
        check_storage(deployment.storage_uri)
    return deployment


def read_mode(text: str) -> Mode:
    """How a bundle is deployed; raises `ClusterError` for anything that is no mode."""
    for mode in get_args(Mode):
        if text == mode:
            found: Mode = mode
            return found
    raise ClusterError(f"the mode of a deployment must be one of {', '.join(get_args(Mode))}, is {text!r}")


def check_storage(uri: str) -> None:
    """Raise `ClusterError` unless a pod of KServe can read a bundle there."""
    if not uri.startswith(SCHEMES) or uri in SCHEMES:
        raise ClusterError(
            f"the bundle must lie where KServe reads it ({', '.join(SCHEMES)}), is at {uri!r}; give MLflow an "
            "artifact store in S3, or copy the bundle to a store or a claim and name it: deployment storage_uri"
        )


def judge_canary(canary: Traffic, stable: Traffic, limits: Limits) -> tuple[str, ...]:
    """Every limit that a canary breaks, in words; empty when it may be promoted.

    >>> judge_canary(Traffic(requests=3), Traffic(), Limits())
    ('the canary must have answered at least 200 requests, has answered 3',)
    """
    if canary.requests < limits.requests:
        return (
            f"the canary must have answered at least {limits.requests} requests, has answered {canary.requests:.0f}",
        )
    broken = []
    errors = canary.errors / canary.requests
    if errors > limits.errors:
        broken.append(f"errors must be at most {limits.errors:.2%} of the requests, are {errors:.2%}")
    if canary.p99 is None:
        broken.append("the canary's latency must be known, is not; does Prometheus read its histograms?")
    elif stable.p99 is not None and canary.p99 > max(limits.latency * stable.p99, limits.latency_floor):
        broken.append(
            f"the 99th percentile must be at most {limits.latency:g} times the stable {stable.p99:.3f} s, is "
            f"{canary.p99:.3f} s"
        )
    for name, most in (("refused", limits.refusals), ("referred", limits.referrals)):
        ours, theirs = _share(canary, name), _share(stable, name)
        if ours > theirs + most:
            broken.append(f"films {name} must be at most {most:.1%} above the stable {theirs:.1%}, are {ours:.1%}")
    return tuple(broken)


def _share(traffic: Traffic, name: str) -> float:
    count: float = getattr(traffic, name)
    return count / traffic.films if traffic.films else 0.0
