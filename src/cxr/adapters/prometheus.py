"""What predictors did over a time, as Prometheus counted it."""

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

from cxr.contracts.deployment import Traffic
from cxr.errors import ClusterError

_SECONDS = 30.0
PREDICTIONS = "/predict|/batch_predict|/explain|/v2/infer|ModelInfer"
"""Values of the label `route` that stand for a request for a prediction."""
ERRORS = "5..|internal|forward_failed|overloaded|not_ready|answer_timeout"
"""Of the label `status`: HTTP's, and the service's own codes over gRPC."""


def traffic(address: str, *, service: str, namespace: str, seconds: float, digest: str) -> Traffic:
    """What the predictors of some bundles did.

    Args:
        address: of the Prometheus server.
        service: Kubernetes service through which it finds the predictors.
        namespace: of that service.
        seconds: until now.
        digest: PromQL matcher of the bundle's digest, such as `="…"` or `!="…"`; `cxr_bundle_info` says which pod
            serves it.

    Raises:
        ClusterError: the server does not answer, or refuses the query.
    """
    texts = queries(f'namespace="{namespace}",service="{service}"', digest, seconds)
    found = {name: query(address, text) for name, text in texts.items()}
    counts = {name: value or 0.0 for name, value in found.items() if name not in ("p99", "predicted")}
    return Traffic(p99=found["p99"], films=(found["predicted"] or 0.0) + counts["refused"], **counts)


def queries(chosen: str, digest: str, seconds: float) -> dict[str, str]:
    """PromQL for each figure."""
    window = f"[{max(1, round(seconds))}s]"
    served = f"max by (namespace, pod) (max_over_time(cxr_bundle_info{{{chosen},digest{digest}}}{window}))"

    def counted(series: str, *matchers: str, by: str = "", function: str = "increase") -> str:
        grouped = f" by ({by})" if by else ""
        labels = ",".join((chosen, *matchers))
        return f"sum{grouped} ({function}({series}{{{labels}}}{window}) * on (namespace, pod) group_left () {served})"

    predictions = f'route=~"{PREDICTIONS}"'
    buckets = counted("cxr_request_seconds_bucket", predictions, by="le", function="rate")
    return {
        "requests": counted("cxr_requests_total", predictions),
        "errors": counted("cxr_requests_total", predictions, f'status=~"{ERRORS}"'),
        "p99": f"histogram_quantile(0.99, {buckets})",
        "predicted": counted("cxr_predictions_total"),
        "refused": counted("cxr_refusals_total"),
        "referred": counted("cxr_referrals_total"),
    }


def query(address: str, text: str) -> float | None:
    """Value of an instant query; None when it has none, or no finite one."""
    url = f"{address.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:  # noqa: S310 - checked with the settings
            found = json.load(response)["data"]["result"]
        value = float(found[0]["value"][1]) if found else math.nan
    except urllib.error.HTTPError as error:
        said = error.read(300).decode(errors="replace")
        raise ClusterError(f"Prometheus at {address} must answer the query, answers {error.code}: {said}") from error
    except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
        raise ClusterError(f"Prometheus at {address} must answer, does not: {error}; is the address right?") from error
    return value if math.isfinite(value) else None
