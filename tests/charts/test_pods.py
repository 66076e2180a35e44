"""What every pod of the chart must be like, whatever the values."""

import pytest

from support.chart import MINIMAL, container, containers, of_component, of_kind, predictor, render

WRITABLE = {"kserve-container": {"/var/lib/cxr", "/tmp"}, "drift": {"/var/lib/cxr-drift", "/tmp"},  # noqa: S108
            "drift-token": {"/etc/cxr/drift"}, "predict": set(), "retraining": {"/tmp"}}  # noqa: S108  # fmt: skip


@pytest.fixture
def pods(objects):
    """Specs of the predictor's pod, and of the test's and the retraining trigger's where there are such."""
    deployed = [found["spec"]["template"]["spec"] for found in of_kind(objects, "Deployment")]
    return [predictor(objects), *(found["spec"] for found in of_kind(objects, "Pod")), *deployed]


def test_containers_are_not_root_cannot_become_it_and_have_a_read_only_root(pods):
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["securityContext"].get("runAsUser", 1) > 0
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for found in containers(pod):
            security = found["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}


def test_containers_have_requests_and_limits(pods):
    for found in (found for pod in pods for found in containers(pod)):
        for kind in ("requests", "limits"):
            assert found["resources"][kind].keys() >= {"cpu", "memory"}, found["name"]
        assert found["resources"]["requests"]["memory"] == found["resources"]["limits"]["memory"]


def test_images_are_of_one_release(pods):
    for image in (found["image"] for pod in pods for found in containers(pod)):
        tag = image.rpartition("@" if "@" in image else ":")[2]
        assert tag
        assert tag != "latest"


def test_containers_that_run_for_long_are_probed_at_a_port_of_theirs(objects):
    pod = predictor(objects)
    service = of_component(objects, "Service")
    web = service["spec"]["ports"][0]["name"]
    for found in pod["containers"]:
        ports = {port["containerPort"] for port in found["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = found[probe]["httpGet"]
            assert get["port"] in ports
            assert get.get("scheme", "HTTP").lower() == (web if found["name"] == "kserve-container" else "http")
    assert container(pod, "kserve-container")["ports"][0] == {"name": web, "containerPort": 8080, "protocol": "TCP"}


def test_every_mount_has_its_volume_and_every_volume_is_mounted(pods):
    for pod in pods:
        volumes = [volume["name"] for volume in pod["volumes"]]
        mounts = {mount["name"] for found in containers(pod) for mount in found["volumeMounts"]}
        assert len(volumes) == len(set(volumes))
        assert mounts == set(volumes)
        for found in containers(pod):
            paths = [mount["mountPath"] for mount in found["volumeMounts"]]
            assert len(paths) == len(set(paths))


def test_only_state_and_temporary_folders_can_be_written(pods):
    for pod in pods:
        limited = {volume["name"]: volume for volume in pod["volumes"]}
        for found in containers(pod):
            writable = [mount for mount in found["volumeMounts"] if not mount.get("readOnly")]
            assert {mount["mountPath"] for mount in writable} == WRITABLE[found["name"]]
            for volume in (limited[mount["name"]] for mount in writable):
                assert "persistentVolumeClaim" in volume or volume["emptyDir"]["sizeLimit"]


def test_secrets_are_closed_to_others_and_bring_only_what_is_read(pods):
    for pod in pods:
        for secret in (volume["secret"] for volume in pod["volumes"] if "secret" in volume):
            assert secret["items"]
            public = {item["path"] for item in secret["items"]} == {"ca.crt"}
            assert public or secret["defaultMode"] == 0o440
            assert pod["securityContext"].get("fsGroup") == pod["securityContext"].get("runAsGroup")


def test_both_read_the_same_bundle(objects):
    pod = predictor(objects)
    mounts = [
        mount for found in pod["containers"] for mount in found["volumeMounts"] if mount["mountPath"] == "/mnt/models"
    ]
    assert len(mounts) == len(pod["containers"])
    assert all(mount == mounts[0] for mount in mounts)
    uris = [entry["value"] for entry in pod["containers"][0]["env"] if entry["name"] == "STORAGE_URI"]
    assert bool(uris) is (mounts[0]["name"] == "kserve-provision-location")


def test_a_bundle_in_a_claim_is_mounted_where_it_lies(rendered):
    for variant, folder in {"claimed bundle": "cxr/v1", "whole claim": None}.items():
        pod = predictor(rendered[variant])
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "bundle")
        assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
        assert pod["containers"][0]["volumeMounts"][0].get("subPath") == folder


def test_every_pod_has_a_folder_of_its_own_for_its_trail(objects):
    pod = predictor(objects)
    found = container(pod, "kserve-container")
    (state,) = (mount for mount in found["volumeMounts"] if mount["name"] == "state")
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "state")
    if "emptyDir" in volume:
        assert "subPathExpr" not in state
        return
    assert state["subPathExpr"] == "$(POD_NAME)"
    names = {entry["name"]: entry.get("valueFrom") for entry in found["env"]}
    assert names["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    claims = {claim["metadata"]["name"] for claim in of_kind(objects, "PersistentVolumeClaim")}
    assert volume["persistentVolumeClaim"]["claimName"] in claims | {"trails"}
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_pod_outlives_what_its_processes_need_to_end(objects):
    pod = predictor(objects)
    env = {entry["name"]: entry.get("value") for entry in container(pod, "kserve-container")["env"]}
    needed = float(env["CXR_SERVE_DRAIN_DELAY"]) + float(env["CXR_SERVE_GRACE"])
    assert pod["terminationGracePeriodSeconds"] >= needed + 12, "events have 2 s and segments 10 s to leave"
    for found in (found for found in pod["containers"] if found["name"] == "drift"):
        asleep = found["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert float(env["CXR_SERVE_DRAIN_DELAY"]) < asleep < pod["terminationGracePeriodSeconds"]


def test_the_service_account_carries_the_secret_of_the_store(rendered):
    (account,) = of_kind(rendered["full"], "ServiceAccount")
    assert account["secrets"] == [{"name": "cxr-s3"}]
    assert account["metadata"]["name"] == predictor(rendered["full"])["serviceAccountName"]
    (account,) = of_kind(rendered["two values"], "ServiceAccount")
    assert "secrets" not in account


def test_the_network_lets_through_only_what_is_needed(rendered):
    def policy(variant):
        (found,) = of_kind(rendered[variant], "NetworkPolicy")
        assert found["spec"]["policyTypes"] == ["Ingress", "Egress"]
        return found["spec"]

    def ports(rules):
        return [[port["port"] for port in rule["ports"]] for rule in rules]

    assert ports(policy("two values")["ingress"]) == [[8080, 8081]]
    assert ports(policy("two values")["egress"]) == [[53, 53], [443]]
    assert ports(policy("full")["ingress"]) == [[8080, 8081], [8080, 8090]]
    assert ports(policy("full")["egress"]) == [[53, 53], [443, 9000]]
    assert policy("full")["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert ports(policy("mesh")["egress"]) == [[53, 53], [443, 9000], [15012]]
    assert all(rule["from"] for variant in ("two values", "full") for rule in policy(variant)["ingress"])
    (test,) = of_kind(rendered["full"], "Pod")
    peers = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in policy("full")["ingress"][0]["from"]]
    assert any(peer and peer.items() <= test["metadata"]["labels"].items() for peer in peers)


def test_a_mounted_bundle_without_bucket_and_webhook_needs_no_way_out():
    (policy,) = of_kind(render({**MINIMAL, "bundle": {"uri": "pvc://models/cxr"}}), "NetworkPolicy")
    assert policy["spec"]["egress"] == []
