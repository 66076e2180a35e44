"""A canary that is watched and decided on, against stand-ins of the cluster's API and Prometheus: flow only."""

import json

import pytest

from cxr.adapters.inference_service import BUNDLE, annotation, canary_names, storage_uri, to_canary, to_promoted
from cxr.contracts.deployment import DEPLOYED_FILE, PROMOTED_FILE, Deployed, Promoted, resolve_deployment
from cxr.contracts.files import read_json, write_json
from cxr.errors import ClusterError
from cxr.steps.promote_canary import promote_canary
from support.kube_api import KubeApi
from support.prometheus_api import prometheus

PLURAL, NAME, NEW = "inferenceservices", "cxr", "ab" * 32
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
UNREADY = {"conditions": [{"type": "Ready", "status": "False", "reason": "Broken"}]}
CONTAINER = {
    "name": "kserve-container",
    "env": [{"name": "STORAGE_URI", "value": "s3://models/old"}],
    "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
}
STABLE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": NAME, "namespace": "cxr"},
    "spec": {
        "predictor": {
            "containers": [CONTAINER],
            "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        }
    },
}
WELL = {"requests": 500, "errors": 0, "p99": 0.2, "predicted": 490, "refused": 10, "referred": 20}


@pytest.fixture
def api(tmp_path, monkeypatch):
    with KubeApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
        api.add(PLURAL, to_canary(STABLE, digest=NEW, uri="s3://models/new", percent=10))
        api.script(PLURAL, NAME, [(0.0, READY)])
        yield api


@pytest.fixture
def metrics():
    with prometheus() as server:
        server.canary, server.stable = dict(WELL), dict(WELL, requests=5000, predicted=4900, refused=100, referred=200)
        yield server


@pytest.fixture
def run(tmp_path, metrics):
    def run(*, mode="canary", minutes=0.005, **changes):
        deployed = Deployed(
            mode=mode,
            name=NAME,
            namespace="cxr",
            bundle=NEW,
            storage_uri="s3://models/new",
            canary=canary_names(NEW)[0],
        )
        write_json(tmp_path / "deployed" / DEPLOYED_FILE, deployed)
        watched = {"minutes": minutes, "poll_seconds": 0.1, "prometheus": metrics.url}
        return promote_canary(
            deployed=tmp_path / "deployed", deployment=resolve_deployment(json.dumps({"canary": watched, **changes})),
            out=tmp_path / "promoted", pause=0.05,
        )  # fmt: skip

    return run


def test_a_canary_that_does_well_serves_all(api, run, tmp_path, metrics):
    promoted = run(minutes=0.03)
    found = api.get(PLURAL, NAME)
    assert "canary" not in found["spec"]
    assert found["spec"]["predictor"]["name"] == canary_names(NEW)[0]
    assert (storage_uri(found), annotation(found, BUNDLE)) == ("s3://models/new", NEW)
    assert promoted.promoted
    assert (promoted.canary.requests, promoted.stable.requests) == (500, 5000)
    assert read_json(tmp_path / "promoted" / PROMOTED_FILE, Promoted) == promoted
    assert len(metrics.queries) >= 24, "it looked more than once"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests": 12}, "at least 200 requests, has answered 12"),
        ({"errors": 100}, "errors must be at most"),
        ({"p99": 0.5}, "99th percentile"),
        ({"refused": 300}, "films refused"),
        ({"referred": 200}, "films referred"),
    ],
)
def test_a_canary_that_does_not_is_removed_with_the_reason(api, run, metrics, change, words):
    metrics.canary |= change
    promoted = run()
    assert not promoted.promoted
    assert words in promoted.reasons[0]
    assert api.get(PLURAL, NAME)["spec"] == STABLE["spec"]


def test_many_errors_end_it_early(api, run, metrics):
    metrics.canary |= {"errors": 400}
    assert not run(minutes=60).promoted
    assert api.get(PLURAL, NAME)["spec"] == STABLE["spec"]


def test_a_canary_without_figures_is_removed_with_the_reason(api, run, metrics):
    metrics.status = 503
    promoted = run()
    assert not promoted.promoted
    assert "answers 503" in promoted.reasons[0]
    assert api.get(PLURAL, NAME)["spec"] == STABLE["spec"]


def test_a_look_that_fails_is_made_again(api, run, metrics):
    metrics.failures = 3
    assert run().promoted


def test_a_predictor_that_helm_has_changed_meanwhile_stays(api, run):
    other = api.get(PLURAL, NAME)
    other["spec"]["predictor"]["containers"][0]["env"] = [{"name": "STORAGE_URI", "value": "s3://models/older"}]
    api.remove(PLURAL, NAME)
    api.add(PLURAL, other)
    promoted = run()
    assert "changed by somebody else" in promoted.reasons[0]
    found = api.get(PLURAL, NAME)
    assert storage_uri(found) == "s3://models/older"
    assert "canary" not in found["spec"]


def test_a_promotion_that_does_not_get_ready_is_taken_back(api, run):
    api.script(PLURAL, NAME, [(0.0, UNREADY)])
    with pytest.raises(ClusterError, match="Ready Broken") as raised:
        run(timeout_seconds=0.3)
    assert "serves again" in str(raised.value)
    assert api.get(PLURAL, NAME)["spec"] == STABLE["spec"]


def test_a_step_that_was_killed_after_its_decision_ends_it(api, run, metrics):
    promoted = to_promoted(api.get(PLURAL, NAME), digest=NEW)
    api.remove(PLURAL, NAME)
    api.add(PLURAL, promoted)
    assert run().promoted
    assert annotation(api.get(PLURAL, NAME), BUNDLE) == NEW
    assert metrics.queries == []


def test_running_again_changes_nothing(api, run):
    run()
    version = api.get(PLURAL, NAME)["metadata"]["generation"]
    assert run().promoted
    assert api.get(PLURAL, NAME)["metadata"]["generation"] == version


def test_a_canary_that_is_no_more_cannot_be_promoted(api, run):
    api.remove(PLURAL, NAME)
    api.add(PLURAL, STABLE)
    with pytest.raises(ClusterError, match="must be the canary"):
        run()


def test_a_deployment_without_a_canary_is_refused(api, run):
    with pytest.raises(ClusterError, match="is of mode apply"):
        run(mode="apply")
