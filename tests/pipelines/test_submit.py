"""Submission against a server that speaks the part of the Kubeflow Pipelines API that it needs."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.submit import Endpoint

ROOT = Path(__file__).parents[2]


class Kubeflow(BaseHTTPRequestHandler):
    """Knows no experiment, makes what it is asked to make, and lets in who has the token."""

    authorization: ClassVar[str] = "Bearer good"
    seen: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_GET(self) -> None:
        self.answer({"multi_user": False} if self.path.endswith("/healthz") else {"experiments": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, body))
        self.answer({"experiment_id": "e1", **body} if "experiments" in self.path else {"run_id": "r1"})

    def answer(self, value: dict[str, Any]) -> None:
        allowed = self.headers.get("Authorization") == self.authorization
        content = json.dumps(value if allowed else {"error": "who are you?"}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    Kubeflow.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Kubeflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def submit(*arguments: str, home: Path, bearer: str = "good") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", "submit", "--data", "s3://films/all", *arguments]
    environment = {"KFP_TOKEN": bearer, "HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_is_started_with_the_pipeline_and_its_arguments(host: str, tmp_path: Path) -> None:
    done = submit(
        "--host", host, "--set", "loss.gamma=1.5", "--promote", "--image", "registry.example/cxr:1",
        "--run-name", "nightly", "--kubeflow-experiment", "films", "--service-account", "trainer",
        "--tracking-uri", "http://mlflow:5000", "--no-cache", home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{host}/#/runs/details/r1\n"
    (_, experiment), (path, run) = Kubeflow.seen
    assert path == "/apis/v2beta1/runs"
    assert experiment["display_name"] == "films"
    assert (run["display_name"], run["experiment_id"], run["service_account"]) == ("nightly", "e1", "trainer")
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["data"], parameters["promote"]) == ("s3://films/all", True)
    assert parameters["tracking_uri"] == "http://mlflow:5000"
    assert json.loads(parameters["recipe"])["loss"]["gamma"] == 1.5
    spec = run["pipeline_spec"]["pipeline_spec"]
    images = set(re.findall(r"'image': '([^']+)'", str(spec)))
    assert images == {"registry.example/cxr:1"}
    assert "enableCache" not in str(spec)
    assert "tolerations" in str(run["pipeline_spec"]["platform_spec"])
    declared = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) <= set(declared)
    assert {name for name, found in declared.items() if not found.get("isOptional")} <= set(parameters)


def test_a_wrong_token_is_refused_in_one_line(host: str, tmp_path: Path) -> None:
    done = submit("--host", host, home=tmp_path, bearer="wrong")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "refuses: 401 Unauthorized; give a valid --token" in done.stderr
    assert "wrong" not in done.stderr


def test_an_address_where_nothing_answers_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{closed.getsockname()[1]}"
    done = submit("--host", host, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"must answer at {host}, does not" in done.stderr


def test_an_endpoint_is_https_and_hides_its_token() -> None:
    endpoint = Endpoint(host="kubeflow.example/pipeline/", token="very secret")  # noqa: S106
    assert endpoint.address == "https://kubeflow.example/pipeline"
    assert "secret" not in repr(endpoint)
