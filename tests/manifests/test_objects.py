"""Objects against Kubernetes' own schemas, against each other, and against the chart."""

import copy
from itertools import chain

import kubernetes_validate
import pytest

from cxr.adapters.katib import INJECTION
from support.kustomize import identity, pod_specs

KUBERNETES = ("1.30", "1.37")
GIVEN_SECRETS = {"cxr-s3", "cxr-mlflow"}
"""What docs/deploy.md has the operator make; no secret is in the repository."""


def of_kind(objects, kind):
    return [found for found in objects if found["kind"] == kind]


@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_are_valid(objects, version):
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(replica=2),
        lambda spec: spec.update(replicas="2"),
        lambda spec: spec["template"]["spec"]["containers"][0].update(imagePulPolicy="Always"),
        lambda spec: spec["template"]["spec"].pop("containers"),
    ],
)
def test_a_spoilt_object_is_not(overlays, spoil):
    found = copy.deepcopy(of_kind(overlays["kind"], "Deployment")[0])
    spoil(found["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, "1.37", strict=True)


def test_all_objects_are_in_the_namespace_that_they_make(objects):
    (namespace,) = of_kind(objects, "Namespace")
    assert {found["metadata"]["namespace"] for found in objects if found is not namespace} == {"cxr"}
    assert namespace["metadata"]["name"] == "cxr"


def test_the_namespace_says_what_katib_pipelines_and_pod_security_ask_for(objects):
    (namespace,) = of_kind(objects, "Namespace")
    labels = namespace["metadata"]["labels"]
    name, _, value = INJECTION.partition(": ")
    assert labels[name] == value
    assert labels["pipelines.kubeflow.org/enabled"] == "true"
    assert labels["app.kubernetes.io/part-of"] == "kubeflow-profile"
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert labels["pod-security.kubernetes.io/warn"] == "restricted"


def test_no_object_is_in_the_chart_too(objects, charted):
    assert ("InferenceService", "cxr", "cxr") in charted
    assert not charted & set(map(identity, objects))


def test_no_secret_and_no_value_of_one_is_here(objects):
    assert not of_kind(objects, "Secret")
    for _, spec in pod_specs(objects):
        for entry in chain.from_iterable(found.get("env", []) for found in spec["containers"]):
            if any(word in entry["name"] for word in ("KEY", "SECRET", "PASSWORD", "TOKEN")):
                assert "secretKeyRef" in entry.get("valueFrom", {}) or entry["value"].startswith("/"), entry


def test_everything_that_a_pod_refers_to_is_there(objects):
    claims = {found["metadata"]["name"] for found in of_kind(objects, "PersistentVolumeClaim")}
    accounts = {found["metadata"]["name"] for found in of_kind(objects, "ServiceAccount")}
    used = set()
    for name, spec in pod_specs(objects):
        assert spec.get("serviceAccountName", "default") in accounts | {"default"}, name
        for volume in spec.get("volumes", []):
            assert {"persistentVolumeClaim", "secret", "emptyDir"} & volume.keys()
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
                used.add(volume["persistentVolumeClaim"]["claimName"])
            if "secret" in volume:
                assert volume["secret"]["secretName"] in GIVEN_SECRETS or volume["secret"]["optional"]
        for entry in chain.from_iterable(found.get("env", []) for found in spec["containers"]):
            if "valueFrom" in entry:
                assert entry["valueFrom"]["secretKeyRef"]["name"] in GIVEN_SECRETS
    assert claims - used == {"cxr-scratch"}, "mounted by tasks, trials and training jobs"


def test_selectors_meet_their_pods(objects):
    kinds = ("Deployment", "StatefulSet", "Job", "CronJob")
    pods = [spec["metadata"]["labels"].items() for spec in map(_template, chain(*(of_kind(objects, k) for k in kinds)))]
    selectors = [found["spec"]["selector"] for found in of_kind(objects, "Service")]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in of_kind(objects, "PodDisruptionBudget")]
    selectors += [
        found["spec"]["podSelector"]["matchLabels"]
        for found in of_kind(objects, "NetworkPolicy")
        if "matchLabels" in found["spec"]["podSelector"]
    ]
    for selector in selectors:
        assert any(selector.items() <= labels for labels in pods), selector
    services = {found["metadata"]["name"] for found in of_kind(objects, "Service")}
    assert {found["spec"]["serviceName"] for found in of_kind(objects, "StatefulSet")} <= services


def test_services_lead_to_ports_that_containers_have(objects):
    ports = {
        port["name"]: port["containerPort"]
        for _, spec in pod_specs(objects)
        for found in spec["containers"]
        for port in found.get("ports", [])
    }
    for service in of_kind(objects, "Service"):
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_pipelines_tasks_may_do_what_the_steps_do_and_nothing_cluster_wide(objects):
    (role,) = (found for found in of_kind(objects, "Role") if found["metadata"]["name"] == "cxr-pipeline")
    (binding,) = (found for found in of_kind(objects, "RoleBinding") if found["metadata"]["name"] == "cxr-pipeline")
    assert not of_kind(objects, "ClusterRole")
    assert not of_kind(objects, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "cxr-pipeline", "namespace": "cxr"}]
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert "*" not in set(chain.from_iterable(rights.values()))
    assert rights["kubeflow.org", "experiments"] == {"create", "get", "list", "watch", "delete"}
    assert rights["kubeflow.org", "trials"] == {"get", "list", "watch"}
    assert rights["trainer.kubeflow.org", "trainjobs"] == {"create", "get", "list", "watch", "delete"}
    assert rights["serving.kserve.io", "inferenceservices"] == {"get", "list", "watch", "update"}
    assert rights["", "pods/log"] == rights["", "pods"] == {"get", "list", "watch"}
    named = [rule for rule in role["rules"] if {"secrets", "configmaps"} & set(rule["resources"])]
    assert all(rule["verbs"] == ["get"] and rule["resourceNames"] for rule in named)


def test_the_account_that_may_start_runs_is_that_of_the_charts_trigger(objects, charted):
    (binding,) = (found for found in of_kind(objects, "RoleBinding") if found["metadata"]["name"] == "cxr-retraining")
    (subject,) = binding["subjects"]
    assert ("ServiceAccount", subject["namespace"], subject["name"]) in charted


def test_sizes_fit_the_overlay(overlays):
    def claims(overlay):
        return {
            found["metadata"]["name"]: found["spec"] for found in of_kind(overlays[overlay], "PersistentVolumeClaim")
        }

    assert claims("kind")["cxr-scratch"]["accessModes"] == ["ReadWriteOnce"]
    assert claims("production")["cxr-scratch"]["accessModes"] == ["ReadWriteMany"]
    assert all("storageClassName" not in spec for spec in claims("kind").values())
    assert all(spec["storageClassName"] for spec in claims("production").values())
    assert [found["spec"]["replicas"] for found in of_kind(overlays["production"], "Deployment")] == [2]
    assert of_kind(overlays["production"], "PodDisruptionBudget")
    assert not of_kind(overlays["kind"], "PodDisruptionBudget")


def _template(found):
    spec = found["spec"]
    return (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]
