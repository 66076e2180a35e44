"""`python -m cxr.retraining` as a cluster starts it: what it refuses, and a sidecar's alert from end to end."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from cxr.adapters.kubeflow_pipelines import connect
from cxr.adapters.kubeflow_runs import Endpoint
from cxr.contracts.drift import Alert
from cxr.retraining.__main__ import main
from cxr.sidecar.alerts import Webhook
from support.kubeflow_api import KubeflowApi

PACKAGE = Path(__file__).parents[2] / "pipelines" / "retraining.yaml"


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["--kubeflow", "http://localhost:1", *arguments])
    assert done.exit_code == 1, done.output
    return done.output


def test_it_does_not_listen_to_others_without_a_secret(tmp_path: Path) -> None:
    arguments = tmp_path / "arguments.yaml"
    arguments.write_text("data: s3://a/b")
    assert "--secret-file must be given when others can connect" in refused(
        "--host",
        "0.0.0.0",  # noqa: S104 - refused
        "--arguments",
        str(arguments),
    )
    empty = tmp_path / "empty"
    empty.touch()
    assert "must hold a secret, is empty" in refused("--arguments", str(arguments), "--secret-file", str(empty))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "must hold the arguments of a pipeline by name, holds list"),
        ("data: [a]", "data must be text, a number, true or false, is list"),
        ("data_version: 1", "must not hold data_version"),
        ("data: [", "must be a readable file of YAML"),
    ],
)
def test_arguments_that_no_pipeline_takes_are_refused(tmp_path: Path, text: str, said: str) -> None:
    arguments = tmp_path / "arguments.yaml"
    arguments.write_text(text)
    assert said in refused("--arguments", str(arguments))


def test_a_sidecar_s_alert_starts_the_committed_pipeline(tmp_path: Path) -> None:
    (tmp_path / "arguments.yaml").write_text("data: s3://films/all\n")
    (tmp_path / "secret").write_text("shared")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with KubeflowApi() as api:
        with connect(Endpoint(host=api.url)) as kubeflow:
            kubeflow.upload(PACKAGE.read_text(encoding="utf-8"), pipeline="retraining", version="1")
        files = ["--arguments", str(tmp_path / "arguments.yaml"), "--secret-file", str(tmp_path / "secret")]
        command = [sys.executable, "-m", "cxr.retraining", "--port", str(port), "--kubeflow", api.url, *files]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_until_live(f"http://127.0.0.1:{port}/health/ready")
                webhook = Webhook(f"http://127.0.0.1:{port}/alerts", secret="shared")  # noqa: S106
                alert = Alert(incident="i1", event="began", time="t", bundle="b", films=100, tests=("mmd",))
                assert asyncio.run(webhook.tell(alert))
            finally:
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=30)
    (run,) = api.kept["runs"]
    assert run["runtime_config"]["parameters"] == {"data": "s3://films/all", "data_version": "drift i1"}
    assert '"outcome": "started"' in log
    assert "shared" not in log


def wait_until_live(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("waited in vain")
