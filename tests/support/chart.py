"""The Helm chart, rendered for tests without a cluster."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

CHART = Path(__file__).parents[2] / "charts" / "cxr"
NAMED = {"name": "ward", "namespace": "radiology"}

MINIMAL: dict[str, Any] = {"bundle": {"uri": "s3://models/cxr"}, "apiKeys": {"secretName": "cxr-keys"}}
"""The two values that an installation needs."""

FULL: dict[str, Any] = {
    **MINIMAL,
    "imagePullSecrets": ["registry"],
    "clientKey": {"secretName": "cxr-client"},
    "s3": {
        "secretName": "cxr-s3", "caSecretName": "cxr-s3-ca",
        "endpoint": "https://s3.hospital.example", "region": "eu-1",
    },
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/cxr"}},
    "predictor": {
        "image": {"repository": "registry.example/cxr", "digest": "sha256:" + "0" * 64},
        "options": {
            "backend": "openvino", "threads": 2, "decode_threads": 2, "max_batch": 8, "max_wait": 0.003,
            "max_queue": 256, "max_bytes": 67108864, "max_pixels": 50000000, "max_pending_bytes": 536870912,
            "request_timeout": 30, "log_level": "WARNING",
        },
    },
    "drift": {"level": 0.01, "tokenSecretName": "cxr-token", "webhookSecretName": "cxr-webhook"},
    "audit": {
        "bucket": "s3://cxr-audit/ward", "retentionDays": 3652, "keepLocalDays": 30, "secretName": "cxr-audit",
    },
    "tls": {"certManager": {"issuerName": "hospital", "issuerKind": "ClusterIssuer", "dnsNames": ["cxr.example"]}},
    "networkPolicy": {"outside": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "outsidePorts": [443, 9000]},
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "pod": {
        "annotations": {"a": "b"}, "labels": {"team": "ml"}, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "ml", "operator": "Exists"}], "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    },
}  # fmt: skip

RETRAINING: dict[str, Any] = {
    "enabled": True,
    "secretName": "cxr-retraining",
    "kubeflow": {
        "url": "https://kubeflow.example:8443/pipeline", "namespace": "radiology",
        "tokenAudience": "pipelines.kubeflow.org",
    },
    "pipelineVersion": "0.1.0",
    "coolDownDays": 3.5,
    "arguments": {"data": "s3://films/all", "deploy_mode": "canary", "promote": True},
}  # fmt: skip

CHANGES: dict[str, dict[str, Any]] = {
    "claimed bundle": {"bundle": {"uri": "pvc://models/cxr/v1"}},
    "whole claim": {"bundle": {"uri": "pvc://models"}},
    "no drift": {"drift": {"enabled": False}},
    "own drift token": {"drift": {"tokenSecretName": None}},
    "no webhook": {"drift": {"webhookSecretName": None}},
    "given certificate": {"tls": {"mode": "secret", "secretName": "cxr-certificate"}},
    "public certificate": {"tls": {"mode": "secret", "secretName": "cxr-certificate", "caKey": ""}},
    "mesh": {
        "tls": {"mode": "proxy"},
        "networkPolicy": {"egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": 15012}]}]},
    },
    "own authority": {"tls": {"certManager": None}},
    "keda": {"autoscaling": {"class": "keda"}},
    "no autoscaling": {"autoscaling": {"class": "none", "minReplicas": 3}},
    "no disruption budget": {"podDisruptionBudget": {"enabled": False}},
    "no network policy": {"networkPolicy": {"enabled": False}},
    "no service monitor": {"monitoring": {"serviceMonitor": {"enabled": False}}},
    "no alerts": {"monitoring": {"prometheusRule": {"enabled": False}}},
    "no dashboard": {"monitoring": {"dashboard": {"enabled": False}}},
    "no test": {"clientKey": {"secretName": None}, "monitoring": {"serviceMonitor": {"enabled": False}}},
    "no bucket": {"audit": {"bucket": None}},
    "no audit secret": {"audit": {"secretName": None}},
    "no folder": {"state": {"kind": "emptyDir"}},
    "given claim": {"state": {"existingClaim": "trails"}},
    "platform's user": {"pod": {"user": None}},
    "retraining": {"drift": {"webhookSecretName": None}, "retraining": RETRAINING},
    "retraining beside a webhook": {"retraining": RETRAINING},
    "retraining without drift": {"drift": {"enabled": False}, "retraining": RETRAINING},
}
"""Changes to `FULL`, each of which turns one option off, over, or on; None gives the default."""


def changed(values: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others laid over them."""
    merged = copy.deepcopy(dict(values))
    for name, value in change.items():
        if isinstance(value, Mapping):
            merged[name] = changed(merged.get(name, {}), value)
        elif value is None and name != "user":
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


VARIANTS = {"two values": MINIMAL, "full": FULL} | {name: changed(FULL, change) for name, change in CHANGES.items()}


def render(values: Mapping[str, Any], **named: str) -> list[dict[str, Any]]:
    """The objects that an installation of another `name` or `namespace` would make, its test's included."""
    with Chart.load(CHART) as chart:
        texts = chart.render(dict(values), **(NAMED | named))
    return [
        found
        for path, text in texts.items()
        if path.endswith(".yaml")
        for found in yaml.load_all(text, _UniqueKeys)
        if found
    ]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Those of one kind."""
    return [found for found in objects if found["kind"] == kind]


def of_component(objects: list[dict[str, Any]], kind: str, component: str | None = None) -> dict[str, Any]:
    """The one of a kind that belongs to a component; to the predictor, which says nothing or `api`, when None."""
    wanted = {component} if component else {None, "api"}
    (found,) = (
        one for one in of_kind(objects, kind) if one["metadata"]["labels"].get("app.kubernetes.io/component") in wanted
    )
    return found


def predictor(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """`spec.predictor` of the InferenceService."""
    (service,) = of_kind(objects, "InferenceService")
    spec: dict[str, Any] = service["spec"]["predictor"]
    return spec


def container(pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A container of a pod, those that run first included."""
    return next(found for found in containers(pod) if found["name"] == name)


def containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod."""
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, as the API server would in strict mode."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key is there twice: {keys}"
        return super().construct_mapping(node, deep)
