"""Questions to Prometheus about predictors."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cxr.adapters.prometheus import queries, query, traffic
from cxr.contracts.deployment import Traffic
from cxr.errors import ClusterError
from cxr.serving.metrics import Metrics
from support.prometheus_api import prometheus

ASKED = {"service": "cxr-api", "namespace": "cxr", "seconds": 60.0, "digest": '="d"'}


def test_figures_are_read():
    with prometheus() as server:
        server.canary = {"requests": 20, "errors": 1, "p99": 0.25, "predicted": 18, "refused": 2, "referred": 3}
        found = traffic(server.url, **ASKED)
    assert found == Traffic(requests=20, errors=1, p99=0.25, films=20, refused=2, referred=3)


def test_no_series_and_no_number_are_no_traffic():
    with prometheus() as server:
        server.canary = {"p99": "NaN"}
        assert traffic(server.url, **ASKED) == Traffic()


@pytest.mark.parametrize("status", [400, 503])
def test_a_refused_query_is_said(status):
    with prometheus() as server:
        server.status = status
        with pytest.raises(ClusterError, match=f"answers {status}"):
            traffic(server.url, **ASKED)


def test_a_server_that_is_not_there_is_said():
    with prometheus() as server:
        gone = server.url
    with pytest.raises(ClusterError, match="is the address right"):
        query(gone, "up")


def test_every_series_and_label_is_one_that_the_predictor_writes():
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.requests.labels("rest", "/v2/infer", "200").inc()
    metrics.request_seconds.labels("rest", "/v2/infer").observe(0.1)
    metrics.predictions.labels("Normal").inc()
    metrics.refusals.labels("corrupt").inc()
    metrics.referrals.labels("far").inc()
    metrics.bundle.labels("d", "resnet18").set(1)
    text = generate_latest(registry).decode()
    given = {"namespace", "service"}  # added by Prometheus to what it reads
    for asked in queries('namespace="cxr",service="cxr-api"', '="d"', 60).values():
        for series, labels in re.findall(r"(cxr_\w+)\{([^}]*)\}", asked):
            lines = [line for line in text.splitlines() if line.startswith(series + "{")]
            assert lines, series
            for label in re.findall(r'(\w+)[!=]=?~?"', labels):
                assert label in given or f'{label}="' in lines[0], (series, label)
