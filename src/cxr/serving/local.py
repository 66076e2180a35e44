"""The service on one machine: predictor and drift sidecar as two processes, with keys and a certificate."""

import contextlib
import logging
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from cxr.adapters.registry import CHAMPION, Registry
from cxr.contracts.bundle import BUNDLE_FILE, read_bundle
from cxr.contracts.files import check_replaceable, file_digest, new_folder
from cxr.errors import RegistryError, ServingError
from cxr.programs import program
from cxr.serving.security.keys import Scope, create_key
from cxr.serving.security.private import create_private, write_private
from cxr.serving.security.tls import development_certificate

MEASURED = "measurement.json"
"""What the sidecar's `measure` leaves in its state folder, below the first 16 digits of the bundle's digest."""

_PATIENCE = 120.0
_GRACE = 40.0
_PAUSE = 5.0


@dataclass(frozen=True, kw_only=True)
class Local:
    """A service on this machine.

    Attributes:
        state: folder of everything that the service keeps.
        rest, grpc, drift: addresses.
        authority: certificate that clients must trust.
        key: file with an API key for `examples/`.
    """

    state: Path
    rest: str
    grpc: str
    drift: str | None
    authority: Path
    key: Path


def serve(
    *,
    run: Path,
    bundle: Path | None,
    state: Path,
    http_port: int,
    grpc_port: int,
    drift_port: int,
    drift_python: Path,
    tracking_uri: str,
    model_name: str,
    options: Sequence[str],
) -> Iterator[str]:
    """Serve until SIGINT or SIGTERM, or until a process ends by itself; yields lines for the person who started it.

    Raises:
        ServingError: there is nothing to serve, the state folder cannot be used, or a process did not start, or ended.
    """
    try:
        prepare(state)
    except OSError as error:
        raise ServingError(
            f"{state} must be a folder that can be written: {error.strerror}; name another with --state"
        ) from error
    note: str | None = None
    if bundle is None:
        bundle = champion_bundle(run=run, state=state, tracking_uri=tracking_uri, model_name=model_name)
        note = passed_over(bundle, run / "bundle", model_name)
    python = drift_python if drift_python.exists() else None
    if python is not None:
        yield from _measured(python, bundle, state / "drift")
    ending = threading.Event()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    with running(
        bundle=bundle,
        state=state,
        http_port=http_port,
        grpc_port=grpc_port,
        drift_port=drift_port,
        drift_python=python,
        options=options,
    ) as (local, processes):
        yield from _introduction(local, bundle)
        if note is not None:
            yield note
        *sidecars, predictor = processes
        while not ending.wait(0.5):
            if predictor.poll() is not None:
                raise ServingError(f"the predictor ended; see {state / 'predictor.log'}")
            if python is not None and sidecars and processes[0].poll() is not None:
                yield f"the drift sidecar ended and is started again; see {state / 'drift.log'}"
                processes[0] = _sidecar(python, bundle, state, drift_port)
                ending.wait(_PAUSE)


def _measured(python: Path, bundle: Path, state: Path) -> Iterator[str]:
    """Let the sidecar measure its tests on a bundle that it has not measured yet."""
    if (state / read_bundle(bundle, verify=False).digest[:16] / MEASURED).exists():
        return
    yield "measuring the drift tests on this bundle, once (about a minute)"
    command = [str(python), "-m", "cxr.sidecar", "measure", "--bundle", str(bundle), "--state", str(state)]
    yield subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.rstrip()  # noqa: S603 - our own


def _introduction(local: Local, bundle: Path) -> Iterator[str]:
    yield f"serving  {read_bundle(bundle, verify=False).digest[:12]}  from {bundle}"
    yield f"page     {local.rest}/  (its API: {local.rest}/docs)"
    yield f"REST     {local.rest}/predict, V2 {local.rest}/v2/models/cxr/infer"
    yield f"gRPC     {local.grpc}"
    yield f"drift    {local.drift or 'not watched: run `make setup-drift` for the sidecar'}"
    yield f"trust    {local.authority}"
    yield f"key      {local.key}"
    yield f"try      {program('python')} examples/predict.py FILM      end with Ctrl-C"


def passed_over(served: Path, latest: Path, model_name: str) -> str | None:
    """What to say when the champion is served although the last run has made another bundle."""
    if not (latest / BUNDLE_FILE).exists() or file_digest(latest / BUNDLE_FILE) == file_digest(served / BUNDLE_FILE):
        return None
    return (
        f"note     the champion of {model_name!r} is served, not the bundle of the run, which is not the champion; "
        f"to serve that: make serve ARGS='--bundle {latest}'"
    )


def champion_bundle(*, run: Path, state: Path, tracking_uri: str, model_name: str) -> Path:
    """Copy the bundle to serve to `state/bundle`: the registry's champion, or else that of a run.

    Raises:
        ServingError: there is neither, or the registry cannot be asked: the run's may be one that the gate refused.
        BundleError: the bundle is incomplete or changed.
    """
    target = state / "bundle"
    source = _champion(tracking_uri, model_name, state / "champion") or run / "bundle"
    if not (source / BUNDLE_FILE).exists():
        raise ServingError(
            f"there must be a bundle to serve: no champion of {model_name!r}, none in {run}; run `make run`"
        )
    digest = read_bundle(source).digest
    if not (target / BUNDLE_FILE).exists() or file_digest(target / BUNDLE_FILE) != digest:
        check_replaceable(target, BUNDLE_FILE)
        with new_folder(target) as draft:
            shutil.copytree(source, draft, dirs_exist_ok=True)
    return target


def prepare(state: Path, *, hosts: Sequence[str] = ()) -> None:
    """Make what is not there yet: certificate, API keys, and the secret between predictor and sidecar."""
    state.mkdir(parents=True, exist_ok=True)
    development_certificate(state / "tls", hosts=hosts)
    if not (state / "client.key").exists():
        secret = create_key(state / "keys.json", scopes=(Scope.PREDICT, Scope.ADMIN, Scope.AUDIT))
        write_private(state / "client.key", secret.encode() + b"\n")
    create_private(state / "drift.token", secrets.token_urlsafe(32).encode() + b"\n")


@contextlib.contextmanager
def running(
    *,
    bundle: Path,
    state: Path,
    http_port: int,
    grpc_port: int,
    drift_port: int,
    drift_python: Path | None,
    options: Sequence[str] = (),
) -> Iterator[tuple[Local, list["subprocess.Popen[bytes]"]]]:
    """Start both processes, wait until they are ready, and end them in order when the block ends.

    Args:
        bundle: to serve.
        state: prepared folder.
        http_port: of REST and the page, on the loopback interface like the others.
        grpc_port: of V2 over gRPC.
        drift_port: of the sidecar.
        drift_python: interpreter of the sidecar's environment; without it predictions go unwatched.
        options: of the predictor.

    Raises:
        ServingError: a process ended, or was not ready in time.
    """
    drift = None if drift_python is None else f"http://127.0.0.1:{drift_port}"
    local = Local(
        state=state,
        rest=f"https://localhost:{http_port}",
        grpc=f"localhost:{grpc_port}",
        drift=drift,
        authority=state / "tls" / "ca.pem",
        key=state / "client.key",
    )
    processes: list[subprocess.Popen[bytes]] = []
    try:
        if drift_python is not None and drift is not None:
            processes.append(_sidecar(drift_python, bundle, state, drift_port))
        processes.append(_predictor(bundle, state, http_port, grpc_port, drift, options))
        _wait(f"{local.rest}/v2/health/ready", processes, local.authority)
        if drift is not None:
            _wait(f"{drift}/health/ready", processes, None)
        yield local, processes
    finally:
        _end(reversed(processes))


def _champion(tracking_uri: str, model_name: str, folder: Path) -> Path | None:
    """A copy of the champion's bundle, None when the registry has none."""
    try:
        registry = Registry(tracking_uri)
        version = registry.alias(model_name, CHAMPION)
        return None if version is None else registry.download(version, folder)
    except RegistryError as error:
        raise ServingError(
            f"the registry must say which bundle is the champion of {model_name!r} and have it, does not: {error}; "
            "mend that, or name the bundle to serve with --bundle"
        ) from error


def _sidecar(python: Path, bundle: Path, state: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [str(python), "-m", "cxr.sidecar", "--bundle", str(bundle), "--state", str(state / "drift"),
               "--host", "127.0.0.1", "--port", str(port), "--token-file", str(state / "drift.token")]  # fmt: skip
    return _start(command, state / "drift.log")


def _predictor(
    bundle: Path, state: Path, http_port: int, grpc_port: int, drift: str | None, options: Sequence[str]
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "cxr.serving", "--bundle", str(bundle), "--state", str(state),
               "--host", "127.0.0.1", "--http-port", str(http_port), "--grpc-port", str(grpc_port),
               "--tls-certificate", str(state / "tls" / "server.pem"), "--tls-key", str(state / "tls" / "server.key"),
               "--keys", str(state / "keys.json"), *options]  # fmt: skip
    if drift is not None:
        command += ["--drift-url", drift, "--drift-token-file", str(state / "drift.token")]
    return _start(command, state / "predictor.log")


def _start(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)  # noqa: S603 - our own


def _wait(url: str, processes: Sequence["subprocess.Popen[bytes]"], authority: Path | None) -> None:
    deadline = time.monotonic() + _PATIENCE
    verify = ssl.create_default_context(cafile=authority) if authority is not None else True
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            raise ServingError("a process of the service ended while it started; its log is in the state folder")
        with contextlib.suppress(httpx.HTTPError):
            # our own processes: no proxy may come between
            if httpx.get(url, verify=verify, timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise ServingError(f"{url} must answer within {_PATIENCE:.0f} s, does not; see the logs in the state folder")


def _end(processes: Iterator["subprocess.Popen[bytes]"]) -> None:
    """Predictor first, so that its last events still find the sidecar."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
