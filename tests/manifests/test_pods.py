"""What every pod of the overlays must be like, and which pods may speak to each other."""

import re
from pathlib import Path

import pytest

from support.kustomize import pod_specs

ROOT = Path(__file__).parents[2]
WRITABLE = {"mlflow": {"/tmp"}, "postgres": {"/var/lib/postgresql/data", "/var/run/postgresql", "/tmp", "/backups"},  # noqa: S108
            "seaweedfs": {"/data", "/tmp"}, "buckets": {"/tmp"}}  # fmt: skip  # noqa: S108


@pytest.fixture
def pods(objects):
    """Specs of all pods, by name."""
    return dict(pod_specs(objects))


def containers(pods):
    return [found for pod in pods.values() for found in (*pod.get("initContainers", []), *pod["containers"])]


def test_containers_are_not_root_cannot_become_it_and_have_a_read_only_root(pods):
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False, "none of them asks Kubernetes' API"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    for found in containers(pods):
        security = found["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_containers_have_requests_and_limits(pods):
    for found in containers(pods):
        for kind in ("requests", "limits"):
            assert found["resources"][kind].keys() >= {"cpu", "memory"}, found["name"]
        assert found["resources"]["requests"]["memory"] == found["resources"]["limits"]["memory"]


def test_images_have_a_registry_and_one_version_each(pods):
    versions = {}
    for image in (found["image"] for found in containers(pods)):
        name, _, version = image.rpartition(":")
        assert "/" in name
        assert re.match(r"v?\d+\.\d+", version), image
        versions.setdefault(name, set()).add(version)
    assert all(len(found) == 1 for found in versions.values()), versions


def test_the_tracking_server_has_the_version_of_its_clients(pods):
    (locked,) = re.findall(r"^mlflow==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert pods["mlflow"]["containers"][0]["image"].rpartition(":")[2] == f"v{locked}-full"


def test_containers_that_run_for_long_are_probed(objects, pods):
    for name in (found["metadata"]["name"] for found in objects if found["kind"] in ("Deployment", "StatefulSet")):
        for found in pods[name]["containers"]:
            ports = {port["name"] for port in found["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert "exec" in found[probe] or found[probe]["httpGet"]["port"] in ports


def test_every_mount_has_its_volume_and_only_what_must_be_is_writable(pods):
    for pod in pods.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = [mount for found in pod["containers"] for mount in found["volumeMounts"]]
        assert {mount["name"] for mount in mounts} == volumes.keys()
        for found in pod["containers"]:
            writable = [mount for mount in found["volumeMounts"] if not mount.get("readOnly")]
            assert {mount["mountPath"] for mount in writable} <= WRITABLE[found["name"]]
            for volume in (volumes[mount["name"]] for mount in writable):
                assert "persistentVolumeClaim" in volume or volume["emptyDir"]["sizeLimit"]
        for secret in (volume["secret"] for volume in volumes.values() if "secret" in volume):
            assert secret["defaultMode"] == 0o440
            assert secret["items"]


def test_the_tracking_server_answers_at_every_name_of_its_service(pods):
    (hosts,) = (argument for argument in pods["mlflow"]["containers"][0]["args"] if "--allowed-hosts" in argument)
    names = hosts.partition("=")[2].split(",")
    assert {"mlflow:5000", "mlflow.cxr.svc:5000", "mlflow.cxr.svc.cluster.local:5000"} <= set(names)
    assert "*" not in names


def test_only_known_neighbours_reach_the_database_and_the_registry(objects):
    policies = {found["metadata"]["name"]: found["spec"] for found in objects if found["kind"] == "NetworkPolicy"}
    database = policies["mlflow-database"]
    assert database["egress"] == []
    peers = [peer["podSelector"]["matchLabels"] for rule in database["ingress"] for peer in rule["from"]]
    assert [peer["app.kubernetes.io/component"] for peer in peers] == ["tracking", "upkeep"]
    assert [[port["port"] for port in rule["ports"]] for rule in database["ingress"]] == [[5432]]
    (rule,) = policies["mlflow"]["ingress"]
    assert all(peer["podSelector"]["matchExpressions"] for peer in rule["from"])
    others = policies["answers-kubeflow-only"]["podSelector"]["matchExpressions"][1]["values"]
    assert {"tracking", "database", "upkeep"} <= set(others)


@pytest.mark.parametrize("name", ["tasks", "search", "training"])
def test_what_computes_reaches_what_it_needs(overlays, name):
    def ports(overlay):
        (spec,) = (found["spec"] for found in overlays[overlay]
                   if found["kind"] == "NetworkPolicy" and found["metadata"]["name"] == name)  # fmt: skip
        assert "Egress" in spec["policyTypes"]
        return [[port["port"] for port in rule.get("ports", [])] for rule in spec["egress"]]

    production = [[53, 53], [443, 6443], [], [5000], [8080, 8081], [9090], []]
    assert ports("production") == production
    assert ports("kind") == [*production, [8333]]
