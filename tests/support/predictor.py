"""A predictor process as its operator runs it, for tests."""

import io
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from cxr.serving.security.keys import Scope, create_key
from cxr.serving.security.tls import development_certificate
from support.ports import free_port
from support.precision import TOLERANCE

RATE = 1_000_000
"""Requests a minute: tests ask as fast as they can."""

SCOPES = {"predict": (Scope.PREDICT,), "admin": (Scope.ADMIN,), "audit": (Scope.AUDIT,)}


@dataclass(frozen=True)
class RunningService:
    """A predictor process and how to reach it."""

    process: subprocess.Popen[bytes]
    state: Path
    url: str
    grpc: str
    ca: Path | None
    keys: dict[str, str]
    log: Path

    def client(self, scope: str | None = "predict") -> httpx.Client:
        """A client that trusts the certificate and brings a key."""
        verify = ssl.create_default_context(cafile=str(self.ca)) if self.ca else True
        headers = {} if scope is None else {"X-API-Key": self.keys[scope]}
        return httpx.Client(base_url=self.url, verify=verify, headers=headers, timeout=60)

    def tolerance(self) -> float:
        """How far probabilities of one film may differ between passes, by the precision of "openvino on cpu, bf16"."""
        with self.client() as client:
            return TOLERANCE[client.get("/health").json()["backend"].rsplit(", ", 1)[1]]


def enlarged(path: Path, side: int = 256) -> bytes:
    """A stored film at the size that a scanner would send."""
    buffer = io.BytesIO()
    with Image.open(path) as stored:
        stored.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def started(bundle: Path, state: Path, *options: str, dev: bool = False) -> Iterator[RunningService]:
    """Run a predictor until the block ends."""
    state.mkdir(parents=True, exist_ok=True)
    http_port, grpc_port, log = free_port(), free_port(), state / "predictor.log"
    keys = {
        name: create_key(state / "keys.json", scopes=scopes, rate_per_minute=RATE) for name, scopes in SCOPES.items()
    }
    command = [sys.executable, "-m", "cxr.serving", "--bundle", str(bundle), "--state", str(state), "--host",
               "127.0.0.1", "--http-port", str(http_port), "--grpc-port", str(grpc_port), "--threads", "1",
               *options]  # fmt: skip
    authority = None
    if not dev:
        development_certificate(state / "tls")
        authority = state / "tls" / "ca.pem"
        command += [
            "--keys",
            str(state / "keys.json"),
            "--tls-certificate",
            str(state / "tls/server.pem"),
            "--tls-key",
            str(state / "tls/server.key"),
        ]
    else:
        command.append("--dev")
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    scheme = "http" if dev else "https"
    service = RunningService(
        process, state, f"{scheme}://localhost:{http_port}", f"localhost:{grpc_port}", authority, keys, log
    )
    try:
        wait_until_ready(service)
        yield service
    finally:
        process.terminate()
        process.wait(40)


def wait_until_ready(service: RunningService, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    with service.client(None) as client:
        while time.monotonic() < deadline:
            assert service.process.poll() is None, service.log.read_text()
            try:
                if client.get("/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise AssertionError(service.log.read_text())
