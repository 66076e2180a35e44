"""Where a bundle is served, and when a canary may take over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.deployment import (
    Deployment,
    Limits,
    Traffic,
    check_storage,
    judge_canary,
    read_mode,
    resolve_deployment,
)
from cxr.errors import ClusterError

STABLE = Traffic(requests=9000, errors=9, p99=0.2, films=9000, refused=90, referred=900)
WELL = Traffic(requests=1000, errors=1, p99=0.22, films=1000, refused=10, referred=110)


def test_nothing_gives_the_defaults():
    assert resolve_deployment() == Deployment()


def test_yaml_and_json_say_the_same():
    text = "name: ward\ncanary:\n  percent: 20\n  limits: {errors: 0.02}\n"
    found = resolve_deployment(text)
    assert found == resolve_deployment('{"name": "ward", "canary": {"percent": 20, "limits": {"errors": 0.02}}}')
    assert (found.name, found.canary.percent, found.canary.limits.errors) == ("ward", 20, 0.02)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{namspace: x}", "did you mean namespace"),
        ("{canary: {percnt: 5}}", "did you mean percent"),
        ("{canary: {percent: 100}}", "canary.percent"),
        ("{canary: {limits: {latency: 0.5}}}", "canary.limits.latency"),
        ("{timeout_seconds: 0}", "timeout_seconds"),
        ("{storage_uri: /data/bundle}", "where KServe reads it"),
        ("{storage_uri: 'mlflow-artifacts:/1/x'}", "where KServe reads it"),
        ("{url: 'file:///etc/passwd'}", "url must begin with http"),
        ("{canary: {prometheus: 'prometheus:9090'}}", "canary.prometheus must begin with http"),
        ("[1]", "names and values"),
    ],
)
def test_a_wrong_deployment_is_refused_with_the_reason(text, words):
    with pytest.raises(ClusterError, match=words):
        resolve_deployment(text)


@pytest.mark.parametrize("uri", ["s3://models/cxr", "pvc://claim/folder", "https://x.example/bundle.tar.gz"])
def test_kserve_reads_these(uri):
    check_storage(uri)


def test_a_mode_is_one_of_three():
    assert read_mode("canary") == "canary"
    with pytest.raises(ClusterError, match="print, apply, canary"):
        read_mode("none")


def test_a_canary_that_is_as_good_may_be_promoted():
    assert judge_canary(WELL, STABLE, Limits()) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests": 199}, "at least 200 requests, has answered 199"),
        ({"errors": 20}, "errors must be at most 1.00%"),
        ({"p99": 0.31}, "1.5 times the stable 0.200 s, is 0.310 s"),
        ({"p99": None}, "latency must be known"),
        ({"refused": 70}, "films refused"),
        ({"referred": 300}, "films referred"),
    ],
)
def test_each_limit_counts(change, words):
    (reason,) = judge_canary(Traffic(**{**_values(WELL), **change}), STABLE, Limits())
    assert words in reason


def test_a_fast_canary_is_not_too_slow_beside_a_faster_predictor():
    stable = Traffic(**{**_values(STABLE), "p99": 0.01})
    assert judge_canary(Traffic(**{**_values(WELL), "p99": 0.09}), stable, Limits()) == ()


@given(st.floats(0, 1e6), st.floats(0, 10), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_errors_never_help(errors, p99, refused, referred):
    canary = Traffic(requests=1e6, errors=errors, p99=p99, films=1e6, refused=refused, referred=referred)
    worse = Traffic(requests=1e6, errors=1e6, p99=p99, films=1e6, refused=refused, referred=referred)
    assert len(judge_canary(worse, STABLE, Limits())) >= len(judge_canary(canary, STABLE, Limits()))


def _values(traffic):
    return {name: getattr(traffic, name) for name in traffic.__struct_fields__}
