"""A bundle into an InferenceService, against a stand-in of the cluster's API and of the predictor: flow only."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cxr.adapters.inference_service import BEFORE, BUNDLE, CANDIDATE, annotation, canary_names, storage_uri
from cxr.contracts.deployment import DEPLOYED_FILE, VALUES_FILE, Deployed, resolve_deployment
from cxr.contracts.files import read_json, write_json
from cxr.contracts.registration import REGISTRATION_FILE, Registration, Verdict
from cxr.contracts.yaml12 import load_yaml
from cxr.errors import BundleError, ClusterError
from cxr.steps.deploy import KEY_VARIABLE, deploy
from support.drift_bundle import write_drift_bundle
from support.kube_api import KubeApi

PLURAL, NAME, KEY = "inferenceservices", "cxr", "cxr_secret_key"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
UNREADY = {"conditions": [{"type": "PredictorReady", "status": "False", "reason": "Pending", "message": "no node"}]}
BROKEN = UNREADY | {
    "modelStatus": {
        "transitionStatus": "BlockedByFailedLoad",
        "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such bucket", "exitCode": 1},
    }
}
SERVICE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": NAME, "namespace": "cxr"},
    "spec": {
        "predictor": {
            "containers": [
                {
                    "name": "kserve-container",
                    "env": [{"name": "STORAGE_URI", "value": "s3://models/old"}],
                    "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
                }
            ],
            "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        }
    },
    "status": READY,
}


class Answers(BaseHTTPRequestHandler):
    """Answers as a predictor does."""

    def do_POST(self):
        server = self.server
        self.rfile.read(int(self.headers["Content-Length"]))
        server.asked += 1
        status = 401 if self.headers["X-API-Key"] != KEY else server.status
        bundle = server.bundles.pop(0) if len(server.bundles) > 1 else server.bundles[0]
        probabilities = {"name": "probabilities", "data": server.probabilities}
        body = json.dumps({"model_version": bundle, "outputs": [probabilities], "digest": bundle}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.status, before = 200, self.server.status
        self.headers["Content-Length"] = "0"
        self.do_POST()
        self.server.status = before

    def log_message(self, *_):
        pass


@pytest.fixture
def api(tmp_path, monkeypatch):
    with KubeApi(token="t") as api:  # noqa: S106 - of the stand-in
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv(KEY_VARIABLE, KEY)
        api.add(PLURAL, SERVICE)
        api.script(PLURAL, NAME, [(0.0, UNREADY), (0.05, READY)])
        yield api


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    digest = write_drift_bundle(folder)
    return folder, digest


@pytest.fixture
def predictor(bundle):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.bundles, server.status, server.probabilities, server.asked = [bundle[1]], 200, [0.5, 0.25, 0.25], 0
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(tmp_path, bundle, predictor):
    def run(mode="apply", **changes):
        given = {"storage_uri": "s3://models/new", "timeout_seconds": 60, **changes}
        given.setdefault("url", f"http://127.0.0.1:{predictor.server_address[1]}")
        return deploy(
            bundle=bundle[0], registration=None, mode=mode, deployment=resolve_deployment(json.dumps(given)),
            out=tmp_path / "deployed", pause=0.05,
        )  # fmt: skip

    return run


def spec_of(api):
    return api.get(PLURAL, NAME)["spec"]


def test_print_writes_the_chart_s_values_and_touches_no_cluster(run, tmp_path, monkeypatch, bundle):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    deployed = run("print")
    assert load_yaml((tmp_path / "deployed" / VALUES_FILE).read_text()) == {"bundle": {"uri": "s3://models/new"}}
    assert read_json(tmp_path / "deployed" / DEPLOYED_FILE, Deployed) == deployed
    assert deployed.bundle == bundle[1]


def test_apply_ends_when_the_new_bundle_answers(api, run, bundle, predictor):
    predictor.bundles = ["old", "old", bundle[1]]
    deployed = run()
    found = api.get(PLURAL, NAME)
    assert storage_uri(found) == "s3://models/new"
    assert (annotation(found, BUNDLE), annotation(found, CANDIDATE), annotation(found, BEFORE)) == (bundle[1], "", "")
    assert (deployed.mode, deployed.canary) == ("apply", "")
    assert predictor.asked == 3
    puts = [query for method, _, query, _ in api.requests if method == "PUT"]
    assert {query["fieldManager"] for query in puts} == {"cxr-deploy"}


def test_a_refused_film_counts_when_the_bundle_is_the_new_one(api, run, predictor, bundle):
    predictor.status = 422
    assert run().bundle == bundle[1]


def test_a_canary_gets_its_part_and_waits_for_the_decision(api, run, bundle):
    name = canary_names(bundle[1])[0]
    ready = READY | {"canaryStatuses": [{"name": name, "ready": True, "trafficPercent": 10}]}
    api.script(PLURAL, NAME, [(0.0, READY), (0.05, ready)])
    deployed = run("canary")
    found = api.get(PLURAL, NAME)
    assert found["spec"]["predictor"] == SERVICE["spec"]["predictor"]
    assert found["spec"]["canary"][0]["trafficPercent"] == 10
    assert deployed.canary == name
    assert annotation(found, CANDIDATE) == bundle[1]
    assert annotation(found, BEFORE)


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        ([(0.0, UNREADY), (0.05, BROKEN)], "KServe gives up: ModelLoadFailed, no such bucket, exit code 1"),
        ([(0.0, UNREADY)], "PredictorReady Pending no node"),
    ],
)
def test_a_predictor_that_does_not_get_ready_is_taken_back(api, run, statuses, words):
    labels = {"serving.kserve.io/inferenceservice": NAME}
    api.add("pods", {"kind": "Pod", "metadata": {"name": "p", "namespace": "cxr", "labels": labels},
                     "status": {"phase": "Failed"}})  # fmt: skip
    api.logs["p", "kserve-container"] = "one\nthe bundle has changed\n"
    api.script(PLURAL, NAME, statuses)
    with pytest.raises(ClusterError, match=words) as raised:
        run(timeout_seconds=0.5)
    assert "what was served before serves again" in str(raised.value)
    assert "the bundle has changed" in str(raised.value)
    assert spec_of(api) == SERVICE["spec"]
    assert annotation(api.get(PLURAL, NAME), CANDIDATE) == ""


def test_another_bundle_s_answer_takes_it_back(api, run, predictor):
    predictor.bundles = ["f" * 64]
    with pytest.raises(ClusterError, match="the answer is of bundle ffffffffffff"):
        run(timeout_seconds=0.5)
    assert spec_of(api) == SERVICE["spec"]


@pytest.mark.parametrize(("status", "words"), [(401, "is 401"), (503, "is 503")])
def test_an_answer_that_is_none_takes_it_back(api, run, predictor, status, words):
    predictor.status = status
    with pytest.raises(ClusterError, match=words) as raised:
        run(timeout_seconds=0.5)
    assert KEY not in str(raised.value)
    assert spec_of(api) == SERVICE["spec"]


def test_numbers_that_are_no_probabilities_take_it_back(api, run, predictor):
    predictor.probabilities = [0.5, 0.9]
    with pytest.raises(ClusterError, match=r"add up to 1\.4"):
        run(timeout_seconds=0.5)
    assert spec_of(api) == SERVICE["spec"]


def test_a_step_that_was_killed_goes_on(api, run, monkeypatch, bundle):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cxr.adapters.predictor_api.check_predictor", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    half = api.get(PLURAL, NAME)
    assert annotation(half, CANDIDATE) == bundle[1]
    run()
    assert annotation(api.get(PLURAL, NAME), BUNDLE) == bundle[1]


def test_a_failure_after_a_kill_still_knows_what_was_before(api, run, monkeypatch, predictor):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cxr.adapters.predictor_api.check_predictor", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    predictor.status = 503
    with pytest.raises(ClusterError):
        run(timeout_seconds=0.5)
    assert spec_of(api) == SERVICE["spec"]


def test_running_again_changes_nothing(api, run):
    run()
    generation = api.get(PLURAL, NAME)["metadata"]["generation"]
    run()
    assert api.get(PLURAL, NAME)["metadata"]["generation"] == generation


def test_a_bundle_that_was_deployed_before_and_fails_now_is_not_taken_back(api, run, predictor):
    run()
    predictor.status = 503
    with pytest.raises(ClusterError, match="nothing is taken back"):
        run(timeout_seconds=0.5)
    assert storage_uri(api.get(PLURAL, NAME)) == "s3://models/new"


def test_a_conflict_is_tried_again_on_what_is_there_now(api, run):
    api.fail(next=2, status=409, method="PUT")
    run()
    assert storage_uri(api.get(PLURAL, NAME)) == "s3://models/new"


def test_an_answer_that_was_lost_is_no_second_change(api, run):
    api.fail(method="PUT", after=True)
    run()
    assert storage_uri(api.get(PLURAL, NAME)) == "s3://models/new"


def test_a_watch_that_is_too_old_begins_again(api, run):
    api.script(PLURAL, NAME, [(0.0, UNREADY)])

    def controller():
        api.until(lambda: api.watches, 60)
        api.forget()
        api.until(lambda: api.expired, 60)
        api.set_status(PLURAL, NAME, READY)

    thread = threading.Thread(target=controller)
    thread.start()
    run()
    thread.join()
    assert api.expired


@pytest.mark.parametrize(
    ("status", "words"), [(403, "must be allowed to get, list, watch and update"), (401, "log in")]
)
def test_a_refusal_says_what_to_do(api, run, status, words):
    api.fail(next=9, status=status, plural=PLURAL)
    with pytest.raises(ClusterError, match=words):
        run()


def test_the_chart_installs_the_service_first(api, run):
    api.remove(PLURAL, NAME)
    with pytest.raises(ClusterError, match="helm install"):
        run()


def test_a_key_must_be_at_hand_before_anything_changes(api, run, monkeypatch, tmp_path):
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ClusterError, match=KEY_VARIABLE):
        run()
    with pytest.raises(ClusterError, match="key_file must be a readable file"):
        run(key_file=str(tmp_path / "none"))
    assert spec_of(api) == SERVICE["spec"]
    (tmp_path / "client.key").write_text(f"{KEY}\n")
    run(key_file=str(tmp_path / "client.key"))


def test_a_changed_bundle_is_refused(bundle, tmp_path, run):
    (bundle[0] / "more").write_text("x")
    try:
        with pytest.raises(BundleError, match="not listed"):
            run("print")
    finally:
        (bundle[0] / "more").unlink()


def test_the_registration_must_be_of_the_bundle(bundle, tmp_path):
    verdict = Verdict(passed=True, reasons=())
    of_another = Registration(model="cxr", model_version="1", run_id="r", bundle="other", verdict=verdict)
    write_json(tmp_path / REGISTRATION_FILE, of_another)
    given = {"bundle": bundle[0], "mode": "print", "out": tmp_path / "out"}
    with pytest.raises(ClusterError, match="must be of the bundle"):
        deploy(registration=tmp_path, deployment=resolve_deployment(), **given)
    with pytest.raises(ClusterError, match="must name a storage_uri"):
        deploy(registration=None, deployment=resolve_deployment(), **given)
