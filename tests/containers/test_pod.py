"""Predictor and drift sidecar in one pod, made of what the chart renders, under load, kills and restarts."""

import asyncio
import base64
import shutil
import ssl
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from kserve import InferenceGRPCClient, InferInput, InferRequest

from cxr.serving.security.keys import Scope, create_key
from cxr.serving.security.tls import development_certificate
from support.chart import MINIMAL, changed, render
from support.phantom_bundle import PhantomRun
from support.pod import lay_volumes, pod_of
from support.podman import inspect, podman, wait_until
from support.predictor import RATE, enlarged
from support.trail import kinds_of, report_of

pytestmark = pytest.mark.containers

UID = 54_321
PREDICTOR, SIDECAR = "kserve-container", "drift"
QUICK = changed(MINIMAL, {"pod": {"user": UID}, "predictor": {"drainDelay": 1, "options": {"threads": 1}}})


class ByAddress(httpx.HTTPTransport):
    """Connects to an address and expects the certificate of localhost: a pod's address is known once it runs."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = "localhost"
        return super().handle_request(request)


@dataclass(frozen=True)
class RunningPod:
    """A pod and how to reach it."""

    name: str
    address: str
    volumes: Path
    key: str

    @property
    def authority(self) -> Path:
        return self.volumes / "authority" / "ca.pem"

    def client(self) -> httpx.Client:
        transport = ByAddress(verify=ssl.create_default_context(cafile=str(self.authority)))
        headers = {"X-API-Key": self.key}
        return httpx.Client(base_url=f"https://{self.address}:8080", transport=transport, headers=headers, timeout=30)

    def predict(self, film: bytes) -> int:
        """Status of an upload."""
        with self.client() as client:
            return client.post("/predict", content=film).status_code

    def ready(self) -> bool:
        with self.client() as client:
            return client.get("/v2/health/ready").status_code == 200

    def accepted(self) -> int:
        """Events that the sidecar took since its process began, by its own count."""
        report = httpx.get(f"http://{self.address}:8090/drift_report", timeout=10).json()
        return int(report["events"]["accepted"])

    def podman(self, command: str, container: str) -> None:
        podman(command, f"{self.name}-{container}")

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        wait_until(what, holds, [f"{self.name}-{name}" for name in (PREDICTOR, SIDECAR)])


def fill(volumes: Path, bundle: Path) -> str:
    """Bring what storage initializer, secrets and cert-manager would; an API key."""
    shutil.copytree(bundle, volumes / "kserve-provision-location")
    (volumes / "keys").mkdir()
    key = create_key(volumes / "keys" / "keys.json", scopes=(Scope.PREDICT,), rate_per_minute=RATE)
    development_certificate(volumes / "authority")
    (volumes / "tls").mkdir()
    for source, target in (("server.pem", "tls.crt"), ("server.key", "tls.key")):
        shutil.copyfile(volumes / "authority" / source, volumes / "tls" / target)
    return key


@pytest.fixture(scope="module")
def pod(
    serving_images: dict[str, str], phantom_run: PhantomRun, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPod]:
    """The chart's pod, ready, as a user that no image knows; removed at the end."""
    folder = tmp_path_factory.mktemp("pod")
    volumes, name = folder / "volumes", f"cxr-test-{uuid.uuid4().hex[:8]}"
    volumes.mkdir()
    key = fill(volumes, phantom_run.bundle)
    objects = render(QUICK)
    lay_volumes(objects, volumes, UID)
    (folder / "pod.yaml").write_text(yaml.safe_dump(pod_of(objects, name=name, folder=volumes, images=serving_images)))
    try:
        podman("play", "kube", "--network", "bridge", str(folder / "pod.yaml"))
        running = RunningPod(name, address_of(name), volumes, key)
        running.wait("the pod ready", running.ready)
        running.wait("the sidecar ready", lambda: running.accepted() == 0)
        yield running
    finally:
        podman("pod", "rm", "--force", "--ignore", "--time", "0", name)


def address_of(pod: str) -> str:
    """Of the pod's network, which its first container holds."""
    networks = inspect("container", inspect("pod", pod)["InfraContainerID"])["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


@pytest.fixture(scope="module")
def film(phantom_run: PhantomRun) -> bytes:
    return enlarged(phantom_run.films()[0])


def over_rest(pod: RunningPod, film: bytes) -> list[float]:
    """Probabilities by the V2 protocol, the film as base64."""
    text = base64.b64encode(film).decode()
    asked = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    with pod.client() as client:
        answer = client.post("/v2/models/cxr/infer", json=asked).raise_for_status().json()
    return next(output["data"] for output in answer["outputs"] if output["name"] == "probabilities")


def over_grpc(pod: RunningPod, film: bytes) -> list[float]:
    """Probabilities by the V2 protocol over gRPC, by KServe's own client."""
    tensor = InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([film], dtype=object), binary_data=True)

    async def ask():
        named = [("grpc.ssl_target_name_override", "localhost")]
        async with InferenceGRPCClient(
            f"{pod.address}:8081", use_ssl=True, root_certificates=str(pod.authority), channel_args=named
        ) as client:
            return await client.infer(InferRequest("cxr", [tensor]), headers=(("x-api-key", pod.key),))

    answer = asyncio.run(ask())
    return next(output.as_numpy() for output in answer.outputs if output.name == "probabilities").ravel().tolist()


def uploaded(pod: RunningPod, film: bytes) -> list[float]:
    with pod.client() as client:
        answer = client.post("/predict", content=film).raise_for_status().json()
    return list(answer["probabilities"].values())


def test_three_ways_to_ask_have_one_answer_and_each_film_reaches_the_sidecar(pod, film):
    before = pod.accepted()
    answers = [ask(pod, film) for ask in (over_rest, over_grpc, uploaded)]
    assert sum(answers[0]) == pytest.approx(1, abs=1e-4)
    assert answers[1] == pytest.approx(answers[0], abs=1e-4)
    assert answers[2] == pytest.approx(answers[0], abs=1e-4)
    pod.wait("three events taken", lambda: pod.accepted() == before + 3)


def test_no_answer_without_a_key(pod, film):
    with pod.client() as client:
        del client.headers["X-API-Key"]
        assert client.post("/predict", content=film).status_code == 401


def test_the_containers_have_no_rights(pod):
    for name in (PREDICTOR, SIDECAR):
        found = inspect("container", f"{pod.name}-{name}")
        assert found["HostConfig"]["ReadonlyRootfs"] is True
        assert found["Config"]["User"].split(":")[0] == str(UID)
        assert found["EffectiveCaps"] in (None, [])
        assert "no-new-privileges" in found["HostConfig"]["SecurityOpt"]


def test_a_killed_sidecar_stops_no_answer_and_gets_events_again_once_it_is_back(pod, film):
    pod.podman("kill", SIDECAR)
    assert [pod.predict(film) for _ in range(5)] == [200] * 5
    assert pod.ready()
    pod.podman("start", SIDECAR)

    def flows() -> bool:
        assert pod.predict(film) == 200
        return pod.accepted() > 0

    pod.wait("an event taken by the new sidecar", flows)


def test_a_killed_predictor_comes_back_and_its_trail_is_whole(pod, film):
    state = pod.volumes / "state"
    answered = kinds_of(state)["prediction"]
    assert pod.predict(film) == 200
    pod.podman("kill", PREDICTOR)
    with pytest.raises(httpx.TransportError):
        pod.ready()
    pod.podman("start", PREDICTOR)
    pod.wait("the predictor ready again", pod.ready)
    assert pod.predict(film) == 200
    kinds = kinds_of(state)
    assert kinds["prediction"] == answered + 2
    assert kinds["model"] == 2
    assert not report_of(state).problems
