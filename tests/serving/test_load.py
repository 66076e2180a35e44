"""A minute of load with what goes wrong in it: reloads of the bundle, and the sidecar killed in the middle."""

import asyncio
import signal
import ssl
import subprocess
import time
from collections import Counter
from pathlib import Path

import aiohttp
import httpx
import pytest

from cxr.contracts.bundle import read_bundle
from cxr.serving.local import prepare, running
from cxr.serving.security.keys import Scope, create_key
from support.ports import free_port
from support.predictor import RATE
from support.trail import kinds_of, report_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS, AT_ONCE = 60, 64
DRIFT_PYTHON = Path(__file__).parents[2] / ".venv-drift" / "bin" / "python"


async def load(local, key, films, counts):
    """Ask from many clients; counts statuses by bundle, and whatever else happens."""
    deadline = time.monotonic() + SECONDS
    context = ssl.create_default_context(cafile=str(local.authority))
    headers = {"X-API-Key": key, "Content-Type": "image/png"}

    async def ask(session, number):
        turn = number
        while time.monotonic() < deadline:
            turn += 1
            try:
                async with session.post(f"{local.rest}/predict", data=films[turn % len(films)], headers=headers) as got:
                    body = await got.json()
                    counts[got.status, body.get("bundle", body.get("code"))] += 1
            except aiohttp.ClientError as error:
                counts[type(error).__name__] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        await asyncio.gather(*(ask(session, number) for number in range(AT_ONCE)))


async def trouble(local, processes, link, folders, said):
    """Reload the other bundle every few seconds; kill the sidecar halfway."""
    context = ssl.create_default_context(cafile=str(local.authority))
    headers = {"X-API-Key": local.key.read_text().strip()}
    async with httpx.AsyncClient(verify=context, headers=headers, timeout=60) as client:
        for turn in range(8):
            await asyncio.sleep(SECONDS / 10)
            link.unlink()
            link.symlink_to(folders[(turn + 1) % 2])
            said.append((await client.post(f"{local.rest}/admin/reload")).status_code)
            if turn == 4:
                processes[0].send_signal(signal.SIGKILL)
        said.append((await client.get(f"{local.rest}/metrics")).text)


def test_no_request_fails_and_the_trail_is_whole(phantom_run, film, tmp_path):
    if not DRIFT_PYTHON.exists():
        pytest.skip("the sidecar's environment is made by `make setup-drift`")
    state, link = tmp_path / "state", tmp_path / "bundle"
    folders = [phantom_run.bundle, phantom_run.other_bundle(tmp_path / "other")]
    link.symlink_to(folders[0])
    state.mkdir()
    prepare(state)
    key = create_key(state / "keys.json", scopes=(Scope.PREDICT,), rate_per_minute=RATE)
    films = [film, *(path.read_bytes() for path in phantom_run.films()[1:40])]
    counts, said = Counter(), []
    ports = {name: free_port() for name in ("http_port", "grpc_port", "drift_port")}
    with running(bundle=link, state=state, drift_python=DRIFT_PYTHON, **ports) as (local, processes):

        async def main():
            await asyncio.gather(load(local, key, films, counts), trouble(local, processes, link, folders, said))

        asyncio.run(main())
    print(f"\n{dict(counts)}")  # noqa: T201 - for the log
    *reloads, metrics = said
    assert reloads == [200] * 8
    digests = {read_bundle(folder).digest for folder in folders}
    refused = {outcome for outcome in counts if isinstance(outcome, tuple) and outcome[0] in (413, 415, 422)}
    assert set(counts) - refused == {(200, digest) for digest in digests}, counts
    assert "cxr_drift_events" in metrics
    assert not report_of(state).problems
    answered = sum(count for (status, _), count in counts.items() if status == 200)
    kinds = kinds_of(state)
    assert kinds["prediction"] == answered
    assert kinds["refusal"] == sum(counts.values()) - answered
    assert kinds["model"] == 9


def test_a_sidecar_that_hangs_slows_no_answer(phantom_run, film, tmp_path):
    """Answers with a sidecar that was stopped take as long as those with one that runs; medians of one process."""
    if not DRIFT_PYTHON.exists():
        pytest.skip("the sidecar's environment is made by `make setup-drift`")
    state = tmp_path / "state"
    state.mkdir()
    prepare(state)
    ports = {name: free_port() for name in ("http_port", "grpc_port", "drift_port")}
    with running(bundle=phantom_run.bundle, state=state, drift_python=DRIFT_PYTHON, **ports) as (local, processes):
        context = ssl.create_default_context(cafile=str(local.authority))
        headers = {"X-API-Key": local.key.read_text().strip()}
        with httpx.Client(base_url=local.rest, verify=context, headers=headers, timeout=30) as client:
            for _ in range(3):
                assert client.post("/predict", content=film).status_code == 200
            processes[0].send_signal(signal.SIGSTOP)
            try:
                for _ in range(40):
                    assert client.post("/predict", content=film).status_code == 200
                assert client.get("/drift_report").json()["state"] == "unavailable"
            finally:
                processes[0].send_signal(signal.SIGCONT)
                processes[0].kill()
    assert not report_of(state).problems
    assert isinstance(processes[0], subprocess.Popen)
