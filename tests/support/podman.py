"""podman for tests: commands whose failure shows what podman said."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from cxr import __version__

CONFIGURATION = Path(__file__).parents[1] / "containers" / "containers.conf"
PATIENCE = 600
READY_WITHIN = 180.0


def podman(*arguments: str) -> str:
    """What a podman command prints to its standard output; an assertion with its errors when it fails."""
    done = _run(*arguments)
    assert done.returncode == 0, f"podman {' '.join(arguments)[:300]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def said_by(container: str) -> str:
    """Log of a container, empty where there is none."""
    done = _run("logs", container)
    return done.stdout + done.stderr if done.returncode == 0 else ""


def inspect(kind: str, name: str) -> Any:
    """What podman knows of a container, an image or a pod."""
    found = json.loads(podman(kind, "inspect", name))
    return found[0] if isinstance(found, list) else found


def image(name: str) -> str:
    """Full name of an image that `make images` built at this version; a skip where there is none."""
    if shutil.which("podman") is None:
        pytest.skip("podman is installed by `make test-containers`")
    reference = f"localhost/cxr/{name}:{__version__}"
    if not has_image(reference):
        pytest.skip(f"{reference} is built by `make test-containers`")
    return reference


def has_image(reference: str) -> bool:
    """Whether an image is on this machine."""
    return _run("image", "exists", reference).returncode == 0


def pulled(reference: str) -> bool:
    """Whether an image could be had from its registry within two minutes."""
    try:
        return _run("pull", "--quiet", reference, patience=120).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def wait_until(what: str, holds: Callable[[], bool], containers: Sequence[str]) -> None:
    """Until something holds; an assertion with the containers' logs when it never does."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if holds():
                return
        time.sleep(0.2)
    logs = "\n".join(f"{name}:\n{said_by(name)}" for name in containers)
    raise AssertionError(f"{what} must be within {READY_WITHIN:.0f} s\n{logs}")


def environment() -> dict[str, str]:
    """What podman is told where its own defaults ask for more than this machine grants."""
    timers = {} if Path("/run/systemd/system").is_dir() else {"DISABLE_HC_SYSTEMD": "true"}
    return {"CONTAINERS_CONF": str(CONFIGURATION), **timers, **os.environ}


def _run(*arguments: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, timeout=patience, env=environment(), check=False
    )
