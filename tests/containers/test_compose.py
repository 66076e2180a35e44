"""The whole of compose.yaml: a prediction and where it shows, metrics, runs, and what is left for the next start."""

import asyncio
import base64
import shutil
import ssl
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kserve import InferenceGRPCClient
from mlflow import MlflowClient

from support.compose import ROOT, SERVICES, Composition
from support.phantom_bundle import PhantomRun
from support.podman import inspect, podman, wait_until
from support.predictor import enlarged
from support.trail import kinds_of, report_of
from support.upstream_images import choices

pytestmark = pytest.mark.containers

UID = 54_321
PREDICTOR, MLFLOW, PROMETHEUS = "https://localhost:8443", "http://localhost:5000", "http://localhost:9090"
GIBIBYTE = 2**30


@pytest.fixture(scope="module")
def upstream_images(serving_images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Images of MLflow and Prometheus by their variables; a skip where compose.yaml cannot be run."""
    if shutil.which("podman-compose") is None:
        pytest.skip("podman-compose is installed by `make test-containers`")
    return choices(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def service(
    upstream_images: dict[str, str], phantom_run: PhantomRun, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composition]:
    """All four, ready, as a user that no image knows; removed at the end."""
    kept = tmp_path_factory.mktemp("compose") / "kept"
    kept.mkdir()
    composition = Composition(
        f"cxr-test-{uuid.uuid4().hex[:8]}", run=phantom_run.folder, folder=kept, uid=UID, images=upstream_images
    )
    try:
        composition.prepare()
        composition.up()
        wait_for(composition)
        yield composition
    finally:
        composition.remove()


def wait_for(service: Composition) -> None:
    """Until all four answer."""
    asked = {"predictor": "/v2/health/ready", "sidecar": "/drift_report"}
    with client(service) as predictor:
        for name, path in asked.items():
            wait_until(f"the {name} ready", lambda path=path: predictor.get(path).is_success, service.containers)
    for url in (f"{MLFLOW}/health", f"{PROMETHEUS}/-/ready"):
        wait_until(f"{url} answered", lambda url=url: httpx.get(url).is_success, service.containers)


def client(service: Composition) -> httpx.Client:
    """One that trusts the certificate and brings the key, both as `prepare.py` made them."""
    verify = ssl.create_default_context(cafile=str(service.state / "tls" / "ca.pem"))
    key = (service.state / "client.key").read_text().strip()
    return httpx.Client(base_url=PREDICTOR, verify=verify, headers={"X-API-Key": key}, timeout=30)


def predict(service: Composition, film: bytes) -> list[float]:
    """Probabilities by the V2 protocol."""
    text = base64.b64encode(film).decode()
    asked = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    with client(service) as predictor:
        answer = predictor.post("/v2/models/cxr/infer", json=asked).raise_for_status().json()
    return next(output["data"] for output in answer["outputs"] if output["name"] == "probabilities")


def report(service: Composition) -> dict[str, Any]:
    """What the sidecar says, by way of the predictor."""
    with client(service) as predictor:
        return predictor.get("/drift_report").raise_for_status().json()


def series(query: str, at: float | None = None) -> dict[str, float]:
    """A query's values by job, now or at another time."""
    asked = {"query": query} if at is None else {"query": query, "time": str(at)}
    answer = httpx.get(f"{PROMETHEUS}/api/v1/query", params=asked).raise_for_status().json()
    return {found["metric"]["job"]: float(found["value"][1]) for found in answer["data"]["result"]}


@pytest.fixture(scope="module")
def film(phantom_run: PhantomRun) -> bytes:
    return enlarged(phantom_run.films()[0])


@pytest.fixture(scope="module")
def logged(service: Composition, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Id of a run that was logged over HTTP."""
    note = tmp_path_factory.mktemp("note") / "note.txt"
    note.write_text("from a client")
    mlflow = MlflowClient(MLFLOW)
    run = mlflow.create_run(mlflow.create_experiment("compose"))
    mlflow.log_metric(run.info.run_id, "macro_auroc", 0.75)
    mlflow.log_artifact(run.info.run_id, str(note))
    mlflow.set_terminated(run.info.run_id)
    return run.info.run_id


def check_logged(run: str, folder: Path) -> None:
    """Read back what was logged."""
    mlflow = MlflowClient(MLFLOW)
    assert mlflow.get_run(run).data.metrics == {"macro_auroc": 0.75}
    assert Path(mlflow.download_artifacts(run, "note.txt", str(folder))).read_text() == "from a client"


def test_a_prediction_over_tls_reaches_the_sidecar(service, film):
    before = report(service)["events"]["accepted"]
    assert sum(predict(service, film)) == pytest.approx(1, abs=1e-4)
    wait_until("the event taken", lambda: report(service)["events"]["accepted"] == before + 1, service.containers)


def test_no_answer_without_a_key(service, film):
    with client(service) as predictor:
        del predictor.headers["X-API-Key"]
        assert predictor.post("/predict", content=film).status_code == 401


def test_grpc_answers_at_its_published_port(service):
    authority = str(service.state / "tls" / "ca.pem")

    async def ask():
        async with InferenceGRPCClient("localhost:8081", use_ssl=True, root_certificates=authority) as predictor:
            return await predictor.is_server_live()

    assert asyncio.run(ask())


def test_prometheus_scrapes_predictor_and_sidecar(service, film):
    predict(service, film)

    def healthy() -> bool:
        found = httpx.get(f"{PROMETHEUS}/api/v1/targets").raise_for_status().json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found} == {"predictor": "up", "drift": "up"}

    wait_until("both targets up", healthy, service.containers)
    assert series("up") == {"predictor": 1, "drift": 1}
    for query in ("sum by (job) (cxr_predictions_total)", 'cxr_drift_received_events_total{outcome="accepted"}'):
        wait_until(f"{query} above 0", lambda query=query: any(series(query).values()), service.containers)


def test_mlflow_takes_a_run_with_an_artifact_over_http(logged, tmp_path):
    check_logged(logged, tmp_path)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_rights_and_the_files_limits(service, name):
    found, asked = inspect("container", service.container(name)), services()[name]
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["Config"]["User"] == f"{UID}:{UID}"
    assert found["EffectiveCaps"] in (None, [])
    assert "no-new-privileges" in "".join(found["HostConfig"]["SecurityOpt"])
    assert found["HostConfig"]["Memory"] == int(asked["mem_limit"].removesuffix("g")) * GIBIBYTE
    assert found["HostConfig"]["RestartPolicy"]["Name"] == asked["restart"]
    exposed = found["HostConfig"]["PortBindings"] or {}
    bound = [place["HostIp"] for places in exposed.values() for place in places or []]
    assert set(bound) <= {"127.0.0.1"}
    assert len(bound) == len(asked.get("ports", []))


def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("name", ["predictor", "drift"])
def test_our_images_own_health_checks_pass(service, name):
    podman("healthcheck", "run", service.container(name))


def test_what_is_kept_belongs_to_the_given_user(service, film, logged):
    predict(service, film)
    kept = [path for path in service.folder.rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in kept} == {UID}
    places = {path.relative_to(service.folder).parts[0] for path in kept}
    assert places == {"serving", "mlflow", "prometheus"}


def test_down_leaves_what_is_kept_and_the_next_up_goes_on_with_it(service, film, logged, tmp_path):
    predict(service, film)
    wait_until("a scrape", lambda: series("up") == {"predictor": 1, "drift": 1}, service.containers)
    answered, scraped = kinds_of(service.state)["prediction"], time.time()
    wait_until("the event taken", lambda: report(service)["films"] == answered, service.containers)

    service.down()
    names = podman("ps", "--all", "--format", "{{.Names}}").split()
    assert not [name for name in names if name.startswith(service.project)]
    assert not report_of(service.state).problems
    assert kinds_of(service.state)["prediction"] == answered

    service.up()
    wait_for(service)
    predict(service, film)
    assert kinds_of(service.state)["prediction"] == answered + 1
    wait_until("the event added", lambda: report(service)["films"] == answered + 1, service.containers)
    assert not report_of(service.state).problems
    check_logged(logged, tmp_path)
    assert series("up", at=scraped) == {"predictor": 1, "drift": 1}
