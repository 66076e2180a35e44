"""The containers' commands, as the programs themselves read them."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cxr.adapters.prometheus import ERRORS, PREDICTIONS
from cxr.serving.__main__ import main as serve
from cxr.serving.security.private import read_secret
from cxr.serving.settings import Settings
from cxr.sidecar.__main__ import main as watch
from support.chart import container, of_kind, predictor

GIVEN_BY_THE_CHART = {"model_name", "drain_delay", "threads", "tls_certificate", "tls_key", "keys", "behind_proxy",
                      "bundle", "state", "drift_url", "drift_token_file"}  # fmt: skip


def settings_of(objects, monkeypatch):
    """What the predictor makes of its environment."""
    for name in [name for name in os.environ if name.startswith("CXR_SERVE_")]:
        monkeypatch.delenv(name)
    found = container(predictor(objects), "kserve-container")
    assert found["command"] == ["python", "-m", "cxr.serving"]
    for entry in found["env"]:
        if entry["name"].startswith("CXR_SERVE_"):
            monkeypatch.setenv(entry["name"], entry["value"])
    return Settings(**serve.make_context("serving", []).params)


def test_the_predictor_accepts_its_environment(objects, monkeypatch):
    settings = settings_of(objects, monkeypatch)
    settings.check()
    found = container(predictor(objects), "kserve-container")
    known = {f"CXR_SERVE_{parameter.name.upper()}" for parameter in serve.params}
    assert {entry["name"] for entry in found["env"] if entry["name"].startswith("CXR_SERVE_")} <= known
    assert [port["containerPort"] for port in found["ports"]] == [settings.http_port, settings.grpc_port]


def test_the_files_that_it_names_are_mounted(objects, monkeypatch):
    settings = settings_of(objects, monkeypatch)
    pod = predictor(objects)
    mounts = container(pod, "kserve-container")["volumeMounts"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    named = [settings.keys, settings.tls_certificate, settings.tls_key, settings.drift_token_file]
    for path in (path for path in named if path is not None):
        (mount,) = (mount for mount in mounts if mount["mountPath"] == str(path.parent))
        secret = volumes[mount["name"]].get("secret")
        assert secret is None or path.name in {item["path"] for item in secret["items"]}
    assert {str(settings.bundle), str(settings.state)} <= {mount["mountPath"] for mount in mounts}


def test_what_the_chart_does_not_set_has_the_programs_default(rendered, monkeypatch):
    settings = settings_of(rendered["two values"], monkeypatch)
    plain = Settings(bundle=Path(), state=Path())
    others = set(Settings.__dataclass_fields__) - GIVEN_BY_THE_CHART
    assert {name: getattr(settings, name) for name in others} == {name: getattr(plain, name) for name in others}


def test_options_arrive_as_they_were_given(rendered, monkeypatch):
    settings = settings_of(rendered["full"], monkeypatch)
    assert (settings.max_bytes, settings.max_wait, settings.backend) == (67108864, 0.003, "openvino")
    assert settings.max_pending_bytes == 536870912
    assert settings.audit_bucket == "s3://cxr-audit/ward"
    assert (settings.audit_retention_days, settings.audit_keep_local_days) == (3652, 30)


def test_the_audit_bucket_is_reached_with_the_secret_of_the_store(rendered):
    env = {entry["name"]: entry for entry in container(predictor(rendered["full"]), "kserve-container")["env"]}
    assert env["AWS_ENDPOINT_URL"]["value"] == "https://s3.hospital.example"
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert env[key]["valueFrom"]["secretKeyRef"] == {"name": "cxr-s3", "key": key}
    assert not {name for name in env if "SECRET" in name and "value" in env[name]}


def test_shared_keys_of_the_trail_lie_where_the_predictor_looks(rendered):
    from cxr.serving.opening import AUDIT_KEY
    from cxr.serving.security.pseudonyms import KEY_FILE_VARIABLE

    found = container(predictor(rendered["full"]), "kserve-container")
    mounts = {mount["mountPath"]: mount for mount in found["volumeMounts"]}
    assert mounts[f"/var/lib/cxr/{AUDIT_KEY}"]["subPath"] == "audit.key"
    env = {entry["name"]: entry.get("value") for entry in found["env"]}
    assert Path(env[KEY_FILE_VARIABLE]).parent.as_posix() in mounts


def test_the_sidecar_accepts_its_arguments_and_the_predictor_finds_it(objects, monkeypatch):
    pod = predictor(objects)
    settings = settings_of(objects, monkeypatch)
    names = [found["name"] for found in pod["containers"]]
    if "drift" not in names:
        assert settings.drift_url is None
        return
    found = container(pod, "drift")
    assert found["command"] == ["python", "-m", "cxr.sidecar"]
    given = watch.make_context("sidecar", list(found["args"])).params
    assert settings.drift_url == f"http://127.0.0.1:{given['port']}"
    assert given["token_file"] == settings.drift_token_file
    assert given["bundle"] == settings.bundle
    folders = {mount["mountPath"] for mount in found["volumeMounts"]}
    assert {str(given["state"]), str(given["token_file"].parent)} <= folders
    webhook = given["webhook_secret_file"]
    assert (webhook is not None) is any(entry["name"] == "CXR_DRIFT_WEBHOOK" for entry in found["env"])
    assert webhook is None or str(webhook.parent) in folders


def test_the_token_that_a_pod_makes_is_one_that_the_predictor_reads(rendered, tmp_path):
    script = container(predictor(rendered["two values"]), "drift-token")["command"][-1]
    token = tmp_path / "token"
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script.replace("/etc/cxr/drift/token", str(token))], check=True)
        made.append(read_secret(token))
    assert stat.S_IMODE(token.stat().st_mode) == 0o440
    assert len(made[0]) == 64
    assert made[0] != made[1]


def test_alerts_ask_for_metrics_that_there_are(rendered):
    known = _metrics()
    for variant in ("full", "no drift", "no bucket", "no webhook"):
        (rule,) = of_kind(rendered[variant], "PrometheusRule")
        rules = [rule for group in rule["spec"]["groups"] for rule in group["rules"]]
        names = {rule["alert"] for rule in rules}
        assert len(names) == len(rules)
        for one in rules:
            assert set(re.findall(r"\bcxr_[a-z_]+", one["expr"])) <= known
            assert one["expr"].count('namespace="radiology",service="ward-cxr-api"') == len(
                re.findall(r"\bcxr_[a-z_]+\{", one["expr"])
            )
            assert one["expr"].count("(") == one["expr"].count(")")
            assert one["labels"]["severity"] in ("warning", "critical")
            assert {"summary", "description"} <= one["annotations"].keys()
        assert ("CxrDrift" in names) is (variant != "no drift")
        assert ("CxrAuditNotShipped" in names) is (variant != "no bucket")
        assert ("CxrDriftAlertsUndelivered" in names) is (variant in ("full", "no bucket"))


def test_requests_and_errors_are_those_by_which_a_canary_is_judged(rendered):
    (rule,) = of_kind(rendered["full"], "PrometheusRule")
    rules = {rule["alert"]: rule["expr"] for group in rule["spec"]["groups"] for rule in group["rules"]}
    assert rules["CxrErrors"].count(f'route=~"{PREDICTIONS}"') == 2
    assert rules["CxrErrors"].count(f'status=~"{ERRORS}"') == 1


def test_the_dashboard_shows_metrics_that_there_are(rendered):
    (board,) = (found for found in of_kind(rendered["full"], "ConfigMap") if "cxr.json" in found["data"])
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    panels = json.loads(board["data"]["cxr.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for expression in (target["expr"] for panel in panels for target in panel["targets"]):
        assert set(re.findall(r"cxr_[a-z_]+", expression)) <= _metrics()
        assert 'namespace=~"$namespace",service=~"$service"' in expression
        assert expression.count("(") == expression.count(")")
    assert not [found for found in of_kind(rendered["no dashboard"], "ConfigMap") if "cxr.json" in found["data"]]


def test_keda_asks_for_a_metric_that_there_is(rendered):
    (metric,) = predictor(rendered["keda"])["autoScaling"]["metrics"]
    assert set(re.findall(r"cxr_[a-z_]+", metric["external"]["metric"]["query"])) <= _metrics()


def test_prometheus_brings_a_key_and_trusts_the_authority(rendered):
    (monitor,) = of_kind(rendered["full"], "ServiceMonitor")
    first, second = monitor["spec"]["endpoints"]
    assert first["authorization"]["credentials"] == {"name": "cxr-client", "key": "client.key"}
    assert first["tlsConfig"] == {
        "serverName": "ward-cxr-api.radiology.svc",
        "ca": {"secret": {"name": "ward-cxr-tls", "key": "ca.crt"}},
    }
    assert (second["port"], second["scheme"]) == ("drift", "http")
    (monitor,) = of_kind(rendered["public certificate"], "ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["tlsConfig"] == {"serverName": "ward-cxr-api.radiology.svc"}
    (monitor,) = of_kind(rendered["mesh"], "ServiceMonitor")
    assert "tlsConfig" not in monitor["spec"]["endpoints"][0]


@pytest.mark.parametrize(
    ("variant", "url", "trusts"),
    [
        ("full", "https://ward-cxr-api.radiology.svc", "ward-cxr-tls"),
        ("given certificate", "https://ward-cxr-api.radiology.svc", "cxr-certificate"),
        ("public certificate", "https://ward-cxr-api.radiology.svc", None),
        ("mesh", "http://ward-cxr-api.radiology.svc", None),
    ],
)
def test_the_test_asks_our_service_with_a_key(rendered, variant, url, trusts):
    (pod,) = of_kind(rendered[variant], "Pod")
    (script,) = (found for found in of_kind(rendered[variant], "ConfigMap") if "predict.py" in found["data"])
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == script["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (found,) = pod["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in found["env"]}
    assert env["URL"] == url
    compile(script["data"]["predict.py"], "predict.py", "exec")
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume
    }
    assert secrets["client"] == "cxr-client"
    assert secrets.get("tls") == trusts
    assert ("CA_FILE" in env) is (trusts is not None)


def _metrics():
    """Names of all series: those of the predictor from its registry, those of collectors from their sources."""
    from prometheus_client import CollectorRegistry

    import cxr.serving.journal
    import cxr.sidecar.metrics
    from cxr.serving.metrics import Metrics

    registry = CollectorRegistry()
    Metrics(registry)
    names = set(registry._names_to_collectors)
    for module in (cxr.serving.journal, cxr.sidecar.metrics):
        source = Path(module.__file__).read_text()
        for kind, name in re.findall(r'(Counter|Gauge)MetricFamily\(\s*"(cxr_[a-z_]+)"', source):
            names.add(f"{name}_total" if kind == "Counter" else name)
    return names
