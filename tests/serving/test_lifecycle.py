"""Starting, reloading and ending a predictor while it is used."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter

import aiohttp
import pytest

from cxr.contracts.bundle import read_bundle
from support.audit_trail import until
from support.predictor import started
from support.trail import kinds_of, report_of


async def load(service, film, *, seconds, at_once, counts):
    """Ask as fast as the service answers; counts statuses, and connections that were refused."""
    deadline = time.monotonic() + seconds
    context = ssl.create_default_context(cafile=str(service.ca))
    headers = {"X-API-Key": service.keys["predict"], "Content-Type": "image/png"}

    async def ask(session):
        while time.monotonic() < deadline:
            try:
                async with session.post(f"{service.url}/predict", data=film, headers=headers) as response:
                    body = await response.json()
                    counts[response.status, body.get("bundle", body.get("code"))] += 1
            except aiohttp.ClientConnectorError:
                counts["refused"] += 1
                return
            except aiohttp.ClientError as error:
                counts[type(error).__name__] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        await asyncio.gather(*(ask(session) for _ in range(at_once)))


def in_background(*args, **kwargs):
    thread = threading.Thread(target=lambda: asyncio.run(load(*args, **kwargs)))
    thread.start()
    return thread


def test_a_reload_loses_no_request_and_answers_with_the_new_bundle(phantom_run, film, tmp_path):
    link, other = tmp_path / "bundle", phantom_run.other_bundle(tmp_path / "other")
    link.symlink_to(phantom_run.bundle)
    digests = [read_bundle(folder).digest for folder in (phantom_run.bundle, other)]
    with started(link, tmp_path / "state") as service:
        counts = Counter()
        thread = in_background(service, film, seconds=6, at_once=8, counts=counts)
        time.sleep(1.5)
        link.unlink()
        link.symlink_to(other)
        with service.client("admin") as admin:
            assert admin.post("/admin/reload").raise_for_status().json() == {"bundle": digests[1]}
        thread.join()
        with service.client() as client:
            assert client.get("/model").json()["digest"] == digests[1]
    assert set(counts) == {(200, digest) for digest in digests}, counts
    assert not report_of(tmp_path / "state").problems


def test_a_spoilt_bundle_is_refused_and_the_old_one_goes_on(phantom_run, film, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(phantom_run.bundle, folder)
    with started(folder, tmp_path / "state") as service:
        (folder / "model.onnx").write_bytes(b"spoilt")
        with service.client("admin") as admin:
            answer = admin.post("/v2/repository/models/cxr/load")
            assert answer.status_code == 409
            assert answer.json()["code"] == "bundle_refused"
        os.kill(service.process.pid, signal.SIGHUP)
        with service.client() as client:
            assert client.post("/predict", content=film).status_code == 200
            until(lambda: 'cxr_reloads_total{outcome="failed"} 2.0' in client.get("/metrics").text)


def test_sigterm_answers_what_it_accepted_and_seals_the_trail(phantom_run, film, tmp_path):
    counts = Counter()
    with started(phantom_run.bundle, tmp_path / "state", "--drain-delay", "0.5") as service:
        thread = in_background(service, film, seconds=8, at_once=8, counts=counts)
        time.sleep(1.5)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with service.client(None) as client:
            assert client.get("/v2/health/ready").status_code == 503
        assert service.process.wait(30) == 0
        thread.join()
    answered = {outcome: count for outcome, count in counts.items() if isinstance(outcome, tuple)}
    assert {status for status, _ in answered} == {200}, counts
    assert set(counts) - set(answered) <= {"refused", "ServerDisconnectedError"}, counts
    assert not report_of(tmp_path / "state").problems
    assert kinds_of(tmp_path / "state")["prediction"] >= sum(answered.values())


def test_sigkill_leaves_a_trail_with_every_answer_in_it(phantom_run, film, tmp_path):
    counts = Counter()
    with started(phantom_run.bundle, tmp_path / "state") as service:
        thread = in_background(service, film, seconds=3, at_once=8, counts=counts)
        time.sleep(2)
        service.process.kill()
        service.process.wait()
        thread.join()
    answered = sum(count for outcome, count in counts.items() if isinstance(outcome, tuple))
    assert answered > 10
    with started(phantom_run.bundle, tmp_path / "state") as service, service.client() as client:
        assert client.post("/predict", content=film).status_code == 200
    assert not report_of(tmp_path / "state").problems
    assert kinds_of(tmp_path / "state")["prediction"] > answered


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "API keys must be given"),
        (["--keys", "{state}/keys.json"], "must"),
        (["--dev"], "loopback"),
        (["--dev", "--host", "127.0.0.1", "--tls-key", "x"], "together"),
    ],
)
def test_without_keys_or_certificate_it_does_not_start(phantom_run, tmp_path, options, said):
    command = [sys.executable, "-m", "cxr.serving", "--bundle", str(phantom_run.bundle), "--state", str(tmp_path)]
    options = [option.format(state=tmp_path) for option in options]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_development_needs_no_key_on_the_loopback_interface(phantom_run, film, tmp_path):
    with started(phantom_run.bundle, tmp_path / "state", dev=True) as service, service.client(None) as client:
        assert client.post("/predict", content=film).status_code == 200


def test_every_backend_serves(phantom_run, film, tmp_path, service):
    with service.client() as client:
        expected = client.post("/predict", content=film).json()["probabilities"]
    for backend in ("onnxruntime", "torch"):
        with started(phantom_run.bundle, tmp_path / backend, "--backend", backend) as other, other.client() as client:
            assert client.get("/health").json()["backend"].startswith(backend)
            got = client.post("/predict", content=film).json()["probabilities"]
        assert got == pytest.approx(expected, abs=service.tolerance())
