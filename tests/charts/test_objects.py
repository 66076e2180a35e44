"""Objects against the schemas that a cluster has: Kubernetes' own, and KServe's CRD."""

import copy
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from support.chart import of_component, of_kind, predictor

CRD = Path(__file__).parents[3] / "shared" / "crds" / "inferenceservices.serving.kserve.io.yaml"
CORE = ("v1", "apps/v1", "networking.k8s.io/v1", "policy/v1")
OTHERS = {"InferenceService", "Certificate", "Issuer", "ServiceMonitor", "PrometheusRule"}
KUBERNETES = ("1.30", "1.37")
OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleMetricType", "scaleTarget", "autoScaling",
             "deploymentStrategy", "labels", "annotations"}  # fmt: skip


@pytest.fixture(scope="module")
def crd():
    """The schema of an InferenceService, closed: the API server would drop a field that it does not know."""
    if not CRD.is_file():
        pytest.skip("KServe's CRD is not beside the checkout")
    version = yaml.load(CRD.read_text(), yaml.CSafeLoader)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    _close(schema["properties"]["spec"])
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("version", KUBERNETES)
def test_core_objects_are_valid(objects, version):
    core = [found for found in objects if found["apiVersion"] in CORE]
    assert {found["kind"] for found in objects if found not in core} <= OTHERS
    for found in core:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_pod_of_the_predictor_is_valid(objects, version):
    spec = {name: value for name, value in predictor(objects).items() if name not in OF_KSERVE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.real
def test_the_inference_service_is_valid(objects, crd):
    (service,) = of_kind(objects, "InferenceService")
    crd.validate(service)


@pytest.mark.real
@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(replicas=2),
        lambda spec: spec.update(minReplicas="2"),
        lambda spec: spec["containers"][0].update(imagePulPolicy="Always"),
        lambda spec: spec["containers"][0]["ports"][0].pop("containerPort"),
    ],
)
def test_a_spoilt_inference_service_is_not(rendered, crd, spoil):
    service = copy.deepcopy(of_kind(rendered["two values"], "InferenceService")[0])
    spoil(service["spec"]["predictor"])
    with pytest.raises(jsonschema.ValidationError):
        crd.validate(service)


def test_kserve_runs_it_in_standard_mode_as_a_custom_predictor(objects):
    (service,) = of_kind(objects, "InferenceService")
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    first = service["spec"]["predictor"]["containers"][0]
    assert first["name"] == "kserve-container"
    assert {"name": "PROTOCOL", "value": "v2"} in first["env"]


def test_names_are_unique_and_all_objects_are_in_the_namespace_of_the_release(objects):
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(names) == len(set(names))
    assert {found["metadata"]["namespace"] for found in objects} == {"radiology"}


def test_selectors_meet_the_pods_and_only_our_service_is_scraped(objects):
    pod = predictor(objects)["labels"].items()
    service = of_component(objects, "Service")
    selectors = [service["spec"]["selector"]]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in of_kind(objects, "PodDisruptionBudget")]
    if of_kind(objects, "NetworkPolicy"):
        selectors.append(of_component(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
    assert all(selector and selector.items() <= pod for selector in selectors)
    if of_kind(objects, "ServiceMonitor"):
        monitor = of_component(objects, "ServiceMonitor")
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        assert wanted <= service["metadata"]["labels"].items()
        assert not wanted <= pod, "KServe's service carries the labels of the pods, and would be scraped too"
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


def test_one_scaler_only(rendered):
    def scaling(variant):
        (service,) = of_kind(rendered[variant], "InferenceService")
        return service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"], service["spec"]["predictor"]

    scaler, spec = scaling("two values")
    assert (scaler, spec["scaleMetric"], spec["minReplicas"], spec["maxReplicas"]) == ("hpa", "cpu", 2, 6)
    scaler, spec = scaling("keda")
    assert scaler == "keda"
    assert "scaleMetric" not in spec
    metric = spec["autoScaling"]["metrics"][0]["external"]["metric"]
    assert 'cxr_films_in_flight{namespace="radiology",service="ward-cxr-api"}' in metric["query"]
    scaler, spec = scaling("no autoscaling")
    assert (scaler, spec["minReplicas"], spec["maxReplicas"]) == ("none", 3, 3)
    assert not {"scaleMetric", "autoScaling"} & spec.keys()


def test_options_that_are_off_leave_nothing_behind(rendered):
    kinds = {name: {found["kind"] for found in objects} for name, objects in rendered.items()}
    assert {"ServiceMonitor", "PrometheusRule", "Pod"} & kinds["two values"] == set()
    assert {"ServiceMonitor", "PrometheusRule", "Pod"} <= kinds["full"]
    for variant, kind in {
        "no disruption budget": "PodDisruptionBudget",
        "no network policy": "NetworkPolicy",
        "no service monitor": "ServiceMonitor",
        "no alerts": "PrometheusRule",
        "no test": "Pod",
        "given certificate": "Certificate",
        "mesh": "Certificate",
        "given claim": "PersistentVolumeClaim",
        "no folder": "PersistentVolumeClaim",
    }.items():
        assert kind in kinds["full"]
        assert kind not in kinds[variant], variant


def test_the_authority_of_the_release_signs_when_no_issuer_is_given(rendered):
    certificates = {
        found["metadata"]["name"]: found["spec"] for found in of_kind(rendered["two values"], "Certificate")
    }
    issuers = {found["metadata"]["name"]: found["spec"] for found in of_kind(rendered["two values"], "Issuer")}
    leaf, authority = certificates["ward-cxr"], certificates["ward-cxr-ca"]
    assert issuers[leaf["issuerRef"]["name"]] == {"ca": {"secretName": authority["secretName"]}}
    assert issuers[authority["issuerRef"]["name"]] == {"selfSigned": {}}
    assert authority["isCA"] is True
    assert "ward-cxr-api.radiology.svc" in leaf["dnsNames"]
    (given,) = of_kind(rendered["full"], "Certificate")
    assert given["spec"]["issuerRef"] == {"name": "hospital", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert "cxr.example" in given["spec"]["dnsNames"]
    assert not of_kind(rendered["full"], "Issuer")


def _close(schema):
    if not isinstance(schema, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if properties := schema.get("properties"):
        schema.setdefault("additionalProperties", False)
        for below in properties.values():
            _close(below)
    for name in ("items", "additionalProperties"):
        _close(schema.get(name))
