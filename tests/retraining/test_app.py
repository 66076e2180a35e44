"""The retraining trigger over HTTP, a server in place of Kubeflow: what alerts come to, whatever happens between."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from cxr.adapters.kubeflow_pipelines import connect
from cxr.adapters.kubeflow_runs import Endpoint
from cxr.contracts.drift import Alert
from cxr.contracts.webhook import SIGNATURE, TIMESTAMP, sign
from cxr.retraining.app import make_app
from cxr.retraining.settings import Settings
from cxr.retraining.trigger import Trigger
from support.kubeflow_api import KubeflowApi

SECRET = b"shared by sidecars and trigger"
PACKAGE = """
pipelineInfo: {name: retraining}
root:
  inputDefinitions:
    parameters:
      data: {parameterType: STRING}
      data_version: {parameterType: STRING, isOptional: true}
  dag: {tasks: {}}
---
platforms: {kubernetes: {}}
"""


@pytest.fixture
def api() -> Iterator[KubeflowApi]:
    with KubeflowApi() as server:
        with connect(Endpoint(host=server.url)) as kubeflow:
            kubeflow.upload(PACKAGE, pipeline="retraining", version="1")
        yield server


class Sender:
    """A trigger, started anew when asked, and a sidecar's way to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = datetime.now(UTC)
        self.restart()

    def restart(self) -> None:
        self.app = make_app(self.settings, Trigger(self.settings, now=lambda: self.now))

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://trigger") as client:
                return await client.request(method, path, **content)

        return asyncio.run(ask())

    def post(self, body: bytes, *, secret: bytes = SECRET, at: float | None = None) -> Any:
        timestamp = str(int(datetime.now(UTC).timestamp() if at is None else at))
        headers = {TIMESTAMP: timestamp, SIGNATURE: sign(secret, timestamp, body)}
        return self.request("POST", "/alerts", content=body, headers=headers)

    def alert(self, incident: str, *, event: str = "began") -> tuple[int, str | None]:
        alert = {"incident": incident, "event": event, "time": "t", "bundle": "b", "films": 100, "tests": ["mmd"]}
        answer = self.post(msgspec.json.encode(alert))
        return answer.status_code, answer.json().get("outcome")


@pytest.fixture
def sender(api: KubeflowApi, tmp_path: Path) -> Sender:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    return Sender(Settings(endpoint=Endpoint(host=api.url), secret_file=secret, arguments={"data": "s3://films/all"}))


def test_an_incident_starts_one_run_however_often_it_is_told(api: KubeflowApi, sender: Sender) -> None:
    assert sender.alert("a") == (202, "started")
    assert sender.alert("a") == (200, "known")
    sender.restart()
    assert sender.alert("a") == (200, "known")
    (run,) = api.kept["runs"]
    assert run["display_name"] == "retraining on drift a"
    assert run["runtime_config"]["parameters"] == {"data": "s3://films/all", "data_version": "drift a"}
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "versions-1"


def test_an_incident_that_was_dealt_with_long_ago_stays_known(api: KubeflowApi, sender: Sender) -> None:
    sender.alert("a")
    api.end(created=sender.now - timedelta(days=30))
    assert sender.alert("a") == (200, "known")


def test_an_alert_of_another_replica_starts_nothing_while_a_run_goes_on(api: KubeflowApi, sender: Sender) -> None:
    sender.alert("a")
    sender.now += timedelta(days=30)
    sender.restart()
    assert sender.alert("b") == (200, "going")
    assert len(api.kept["runs"]) == 1


def test_the_next_run_waits_until_the_cool_down_is_over(api: KubeflowApi, sender: Sender) -> None:
    sender.alert("a")
    api.end(state="FAILED")
    sender.now += timedelta(days=6, hours=23)
    assert sender.alert("b") == (200, "cooling")
    sender.now += timedelta(hours=2)
    assert sender.alert("c") == (202, "started")


def test_a_scheduled_run_counts_too(api: KubeflowApi, sender: Sender) -> None:
    experiment = api.create("experiments", {"display_name": "cxr"})
    api.create("runs", {"display_name": "monthly", "experiment_id": experiment["experiment_id"]})
    assert sender.alert("a") == (200, "going")
    api.end()
    assert sender.alert("a") == (200, "cooling")
    api.end(created=sender.now - timedelta(days=8))
    assert sender.alert("a") == (202, "started")


def test_the_end_of_an_incident_asks_nothing_of_kubeflow(api: KubeflowApi, sender: Sender) -> None:
    before = len(api.seen)
    assert sender.alert("a", event="ended") == (200, "ended")
    assert len(api.seen) == before


def test_alerts_at_the_same_time_start_one_run(api: KubeflowApi, sender: Sender) -> None:
    trigger, ready = Trigger(sender.settings), threading.Barrier(4)

    def take(incident: str) -> str:
        ready.wait()
        alert = Alert(incident=incident, event="began", time="t", bundle="b", films=1, tests=())
        return trigger.take(alert).outcome

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(take, ["a", "a", "b", "c"]))
    assert outcomes.count("started") == 1
    assert len(api.kept["runs"]) == 1


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_an_alert_is_to_come_again_while_kubeflow_fails(api: KubeflowApi, sender: Sender, status: int) -> None:
    api.failing = [status]
    answer = sender.post(msgspec.json.encode({"incident": "a", "event": "began", "time": "t", "bundle": "b",
                                              "films": 1, "tests": []}))  # fmt: skip
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "not now" not in answer.text
    assert sender.alert("a") == (202, "started")


def test_an_alert_is_to_come_again_while_kubeflow_is_away(api: KubeflowApi, sender: Sender) -> None:
    api.__exit__(None, None, None)
    assert sender.alert("a") == (503, None)


def test_a_run_whose_start_nobody_heard_of_is_not_started_twice(api: KubeflowApi, sender: Sender) -> None:
    api.lose_answer = True
    assert sender.alert("a") == (503, None)
    api.lose_answer = False
    sender.restart()
    assert sender.alert("a") == (200, "known")
    assert len(api.kept["runs"]) == 1


def test_an_alert_is_to_come_again_until_the_pipeline_is_uploaded(api: KubeflowApi, sender: Sender) -> None:
    uploaded = api.kept["versions"].pop()
    assert sender.alert("a") == (503, None)
    api.kept["versions"].append(uploaded)
    assert sender.alert("a") == (202, "started")


def test_only_who_knows_the_secret_is_heard(api: KubeflowApi, sender: Sender, tmp_path: Path) -> None:
    body = msgspec.json.encode({"incident": "a", "event": "began", "time": "t", "bundle": "b", "films": 1, "tests": []})
    assert sender.post(body, secret=b"guess").status_code == 401
    assert sender.post(body, at=datetime.now(UTC).timestamp() - 3600).status_code == 401
    assert sender.request("POST", "/alerts", content=body).status_code == 401
    odd = {TIMESTAMP: "²".encode(), SIGNATURE: b"sha256=\xe4"}
    assert sender.request("POST", "/alerts", content=body, headers=odd).status_code == 401
    assert api.kept["runs"] == []
    (tmp_path / "secret").write_bytes(b"another")
    assert sender.post(body, secret=b"another").status_code == 202, "a changed secret counts without a restart"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"incident": "a", "event": "happened"}'])
def test_what_is_no_alert_is_refused(api: KubeflowApi, sender: Sender, body: bytes) -> None:
    assert sender.post(body).status_code == 400
    assert api.kept["runs"] == []


def test_a_body_that_is_too_long_is_not_read_to_its_end(sender: Sender) -> None:
    assert sender.post(b"x" * (sender.settings.most_bytes + 1)).status_code == 413


def test_health_says_when_the_secret_is_gone(sender: Sender, tmp_path: Path) -> None:
    assert sender.request("GET", "/health/ready").status_code == 200
    (tmp_path / "secret").unlink()
    assert sender.request("GET", "/health/ready").status_code == 503
    assert sender.request("GET", "/health/live").status_code == 200
    assert sender.alert("a") == (503, None)


def test_what_alerts_came_to_is_counted(sender: Sender) -> None:
    for incident in ("a", "a", "b"):
        sender.alert(incident)
    sender.post(b"{}", secret=b"guess")
    text = sender.request("GET", "/metrics").text
    for outcome, count in {"started": 1, "known": 1, "going": 1, "unsigned": 1, "cooling": 0}.items():
        assert f'cxr_retraining_alerts_total{{outcome="{outcome}"}} {float(count)}' in text
