"""podman for tests: commands whose failure shows what podman said."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cxr import __version__

CONFIGURATION = Path(__file__).parents[1] / "containers" / "containers.conf"
PATIENCE = 300


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
    if _run("image", "exists", reference).returncode:
        pytest.skip(f"{reference} is built by `make test-containers`")
    return reference


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"CONTAINERS_CONF": str(CONFIGURATION), **os.environ}
    return subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )
