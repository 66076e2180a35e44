"""The retraining trigger: the program accepts what the chart gives it, and sidecars find it."""

import asyncio
import re
from datetime import timedelta

import httpx
import pytest
import yaml

from cxr.retraining.__main__ import main
from cxr.retraining.settings import read_arguments
from support.chart import MINIMAL, container, of_component, of_kind, predictor, render

TRIGGER = ("retraining", "retraining beside a webhook", "retraining without drift")
URL = "http://ward-cxr-retraining.radiology.svc:8091/alerts"


def pod(objects):
    return of_component(objects, "Deployment", "retraining")["spec"]["template"]


@pytest.mark.parametrize("variant", TRIGGER)
def test_the_program_accepts_its_arguments(rendered, variant, tmp_path):
    found = container(pod(rendered[variant])["spec"], "retraining")
    assert found["command"] == ["python", "-m", "cxr.retraining"]
    given = main.make_context("retraining", list(found["args"])).params
    assert given["kubeflow"] == "https://kubeflow.example:8443/pipeline"
    assert (given["kubeflow_namespace"], given["pipeline_version"]) == ("radiology", "0.1.0")
    assert timedelta(days=given["cool_down_days"]) == timedelta(hours=84)
    folders = {mount["mountPath"] for mount in found["volumeMounts"]}
    for name in ("secret_file", "arguments", "kubeflow_token_file"):
        assert str(given[name].parent) in folders
    (port,) = found["ports"]
    assert port["containerPort"] == given["port"]
    (kept,) = (one for one in of_kind(rendered[variant], "ConfigMap") if "arguments.yaml" in one["data"])
    file = tmp_path / "arguments.yaml"
    file.write_text(kept["data"]["arguments.yaml"])
    assert read_arguments(file) == {"data": "s3://films/all", "deploy_mode": "canary", "promote": True}


def test_arguments_are_those_of_the_pipeline(rendered):
    from pipelines.retraining import retraining

    (kept,) = (one for one in of_kind(rendered["retraining"], "ConfigMap") if "arguments.yaml" in one["data"])
    assert set(yaml.safe_load(kept["data"]["arguments.yaml"])) <= set(retraining.component_spec.inputs)


def test_one_trigger_runs_at_a_time(rendered):
    spec = of_component(rendered["retraining"], "Deployment", "retraining")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels["team"] == "ml"
    service = of_component(rendered["retraining"], "Service", "retraining")["spec"]
    assert service["selector"].items() <= labels.items()
    assert not of_component(rendered["retraining"], "Service")["spec"]["selector"].items() <= labels.items()
    monitor = of_component(rendered["retraining"], "ServiceMonitor", "retraining")["spec"]
    carried = of_component(rendered["retraining"], "Service", "retraining")["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= carried.items()


def test_sidecars_alert_the_trigger_unless_a_webhook_is_given(rendered):
    def webhook(variant):
        spec = predictor(rendered[variant])
        env = {entry["name"]: entry for entry in container(spec, "drift")["env"]}["CXR_DRIFT_WEBHOOK"]
        (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "webhook")
        return env.get("value") or env["valueFrom"]["secretKeyRef"]["name"], volume["secret"]["secretName"]

    assert webhook("retraining") == (URL, "cxr-retraining")
    assert webhook("retraining beside a webhook") == ("cxr-webhook", "cxr-webhook")
    service = of_component(rendered["retraining"], "Service", "retraining")
    assert URL.startswith(f"http://{service['metadata']['name']}.{service['metadata']['namespace']}.svc:")
    assert service["spec"]["ports"][0]["port"] == 8091


def test_the_network_lets_alerts_through_and_the_trigger_reach_kubeflow(rendered):
    theirs = pod(rendered["retraining"])["metadata"]["labels"].items()
    ours = predictor(rendered["retraining"])["labels"].items()
    policy = of_component(rendered["retraining"], "NetworkPolicy", "retraining")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["podSelector"]["matchLabels"].items() <= theirs
    (rule,) = policy["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= ours
    assert rule["ports"] == [{"port": 8091, "protocol": "TCP"}]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 8443]
    out = of_component(rendered["retraining"], "NetworkPolicy")["spec"]["egress"]
    (way,) = (rule for rule in out if rule["ports"][0]["port"] == 8091)
    assert way["to"][0]["podSelector"]["matchLabels"].items() <= theirs
    beside = of_component(rendered["retraining beside a webhook"], "NetworkPolicy")["spec"]["egress"]
    assert 8091 not in [port["port"] for rule in beside for port in rule["ports"]]


def test_a_mounted_bundle_lets_out_alerts_and_nothing_else():
    retraining = {"enabled": True, "secretName": "a", "arguments": {"data": "s3://a/b"}}
    objects = render({**MINIMAL, "bundle": {"uri": "pvc://models/cxr"}, "retraining": retraining})
    out = of_component(objects, "NetworkPolicy")["spec"]["egress"]
    assert [port["port"] for rule in out for port in rule["ports"]] == [53, 53, 8091]
    plain = of_component(objects, "NetworkPolicy", "retraining")["spec"]["egress"]
    assert [port["port"] for rule in plain for port in rule["ports"]] == [53, 53, 8888]
    names = [volume["name"] for volume in pod(objects)["spec"]["volumes"]]
    assert "kubeflow" not in names, "no token where none is asked for"


def test_without_it_nothing_is_there(rendered):
    assert not of_kind(rendered["full"], "Deployment")
    assert "retraining" not in yaml.safe_dump_all(rendered["two values"])


async def metrics(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://trigger") as client:
        return (await client.get("/metrics")).text


def test_its_alerts_ask_for_metrics_that_there_are(rendered):

    from cxr.adapters.kubeflow_runs import Endpoint
    from cxr.retraining.app import make_app
    from cxr.retraining.settings import Settings
    from cxr.retraining.trigger import Trigger

    settings = Settings(endpoint=Endpoint(host="http://localhost:1"))
    text = asyncio.run(metrics(make_app(settings, Trigger(settings))))
    (rule,) = of_kind(rendered["retraining"], "PrometheusRule")
    (group,) = (group for group in rule["spec"]["groups"] if group["name"].endswith(".retraining"))
    for one in group["rules"]:
        (series,) = re.findall(r"(cxr_[a-z_]+)\{", one["expr"])
        (outcome,) = re.findall(r'outcome="([a-z]+)"', one["expr"])
        assert f'{series}{{outcome="{outcome}"}}' in text
        assert 'namespace="radiology",service="ward-cxr-retraining"' in one["expr"]
