"""Values: what is accepted, what is refused, and that they are documented."""

import importlib.util
import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from helm_python import Chart, HelmError, HelmValuesError, lint

from cxr import __version__
from cxr.serving.settings import Settings
from support.chart import CHART, FULL, MINIMAL, VARIANTS, changed, render

REFUSED = {
    "unknown value": ({"replicas": 3}, "replicas"),
    "unknown value below": ({"predictor": {"image": {"name": "x"}}}, "image"),
    "unknown option": ({"predictor": {"options": {"dev": True}}}, "options"),
    "text for a number": ({"autoscaling": {"minReplicas": "two"}}, "minReplicas"),
    "number for a switch": ({"drift": {"enabled": 1}}, "enabled"),
    "no replicas": ({"autoscaling": {"minReplicas": 0}}, "minReplicas"),
    "unknown scaler": ({"autoscaling": {"class": "external"}}, "class"),
    "tag latest": ({"predictor": {"image": {"tag": "latest"}}}, "tag"),
    "broken digest": ({"drift": {"image": {"digest": "sha256:1"}}}, "digest"),
    "root": ({"pod": {"user": 0}}, "user"),
    "no limits": ({"predictor": {"resources": {"limits": {"cpu": None, "memory": None}}}}, "limits"),
    "store of another protocol": ({"bundle": {"uri": "mlflow://cxr/1"}}, "uri"),
    "folder of the node": ({"bundle": {"uri": "/mnt/cxr"}}, "uri"),
    "bucket that is none": ({"audit": {"bucket": "cxr-audit"}}, "bucket"),
    "everybody as client": ({"networkPolicy": {"clients": []}}, "clients"),
    "peer of no kind": ({"networkPolicy": {"clients": [{}]}}, "clients"),
    "secret by another name": ({"apiKeys": {"secretName": "Keys!"}}, "secretName"),
    "level above one": ({"drift": {"level": 5}}, "level"),
    "retraining without limits": ({"retraining": {"resources": {"limits": None}}}, "limits"),
    "Kubeflow by no address": ({"retraining": {"kubeflow": {"url": "ml-pipeline"}}}, "url"),
    "negative cool-down": ({"retraining": {"coolDownDays": -1}}, "coolDownDays"),
    "argument that is a list": ({"retraining": {"arguments": {"data": ["a"]}}}, "data"),
    "backend that the image has not": ({"predictor": {"options": {"backend": "torch"}}}, "backend"),
    "egress to nobody": ({"networkPolicy": {"egress": [{"to": [{}]}]}}, "egress"),
    "a version of the films": ({"retraining": {"arguments": {"data_version": "1"}}}, "data_version"),
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_helm_lint_finds_no_fault(values):
    found = lint(str(CHART), values, strict=True, kube_version="v1.34.0")
    assert not found["errors"]
    assert [message for message in found["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize(("change", "named"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_is_unknown_or_wrong_is_refused_by_name(change, named):
    values = {**MINIMAL, **change}
    with Chart.load(CHART) as chart, pytest.raises(HelmValuesError, match=named):
        chart.validate_schema(values)
    with pytest.raises(HelmError):
        render(values)


@pytest.mark.parametrize("left_out", ["bundle", "apiKeys"])
def test_either_of_the_two_values_must_be_given(left_out):
    with pytest.raises(HelmError, match=left_out):
        render({name: value for name, value in MINIMAL.items() if name != left_out})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": {"kind": "emptyDir"}}, "audit.bucket and audit.secretName must be given"),
        (
            {"state": {"kind": "emptyDir"}, "audit": {"bucket": "s3://cxr-audit"}, "s3": {"secretName": "cxr-s3"}},
            "audit.secretName must be given",
        ),
        ({"tls": {"mode": "secret"}}, "tls.secretName must name a secret"),
        ({"monitoring": {"serviceMonitor": {"enabled": True}}}, "clientKey.secretName must name a secret"),
        ({"autoscaling": {"minReplicas": 5, "maxReplicas": 2}}, "maxReplicas must be at least minReplicas"),
        ({"retraining": {"enabled": True, "arguments": {"data": "s3://a/b"}}}, "retraining.secretName must name"),
        ({"retraining": {"enabled": True, "secretName": "a"}}, "retraining.arguments.data must say where"),
        ({"audit": {"bucket": "s3://cxr-audit"}}, "s3.secretName must name"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_what_to_do(change, reason):
    with pytest.raises(HelmError, match=reason):
        render({**MINIMAL, **change})


def test_the_schema_is_closed_and_knows_every_default():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def check(schema, values, path):
        assert schema["additionalProperties"] is False, path
        assert set(schema["properties"]) - {"global"} == set(values), path
        for name, value in values.items():
            if "properties" in schema["properties"][name] and name not in ("arguments", "options", "resources"):
                check(schema["properties"][name], value, f"{path}.{name}")

    check(schema, values, "")


def test_options_are_those_of_the_program():
    schema = json.loads((CHART / "values.schema.json").read_text())
    options = set(schema["properties"]["predictor"]["properties"]["options"]["properties"])
    assert options <= {field.name for field in fields(Settings)}


def test_every_value_is_documented_and_the_readme_is_up_to_date():
    readme = _readme()
    said = readme.descriptions((CHART / "values.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [path for path in _leaves(values) if not any(f"{path}.".startswith(f"{known}.") for known in said)] == []
    page = (CHART / "README.md").read_text()
    assert page == readme.rendered(CHART), "run `python charts/readme.py`"
    schema = json.loads((CHART / "values.schema.json").read_text())
    options = schema["properties"]["predictor"]["properties"]["options"]["properties"]
    assert all(f"`{name}`" in said["predictor.options"] for name in options)


def test_a_value_without_a_comment_or_a_changed_default_makes_the_readme_stale(tmp_path):
    readme = _readme()
    (tmp_path / "README.in.md").write_text(readme.PLACE)
    (tmp_path / "values.yaml").write_text("a:\n  # -- One,\n  # two.\n  b: 1\n  c: 2\n")
    assert readme.descriptions((tmp_path / "values.yaml").read_text()) == {"a.b": "One, two."}
    first = readme.rendered(tmp_path)
    (tmp_path / "values.yaml").write_text("a:\n  # -- One,\n  # two.\n  b: 7\n  c: 2\n")
    assert first != readme.rendered(tmp_path)


def test_the_chart_is_of_the_release():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_values_laid_over_others_do_not_change_them():
    before = json.dumps(FULL)
    changed(FULL, {"drift": {"level": None}})
    assert json.dumps(FULL) == before


def _readme():
    spec = importlib.util.spec_from_file_location("readme", Path(CHART).parent / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _leaves(values, path=""):
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        yield from _leaves(value, here) if isinstance(value, dict) and value else [here]
