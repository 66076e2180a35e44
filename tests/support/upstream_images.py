"""Images of MLflow and Prometheus: upstream's, or the same programs on our base where those cannot be pulled."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.podman import has_image, podman, pulled

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "tests" / "containers" / "stand_ins"
BASE = "localhost/cxr-base:bookworm"
_CHOICE = re.compile(r"\$\{([A-Z_]+):-([^}]+)\}")


def choices(folder: Path) -> dict[str, str]:
    """The variables of compose.yaml that name an image of others, each with one that is on this machine.

    Args:
        folder: for what a build has to be told of this machine.
    """
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    found = {name: _CHOICE.fullmatch(service["image"]) for name, service in services.items()}
    return {choice[1]: _image(name, choice[1], choice[2], folder) for name, choice in found.items() if choice}


def _image(name: str, variable: str, upstream: str, folder: Path) -> str:
    """The caller's choice, else upstream's, else a stand-in, which is built once for a version of upstream's."""
    stand_in = f"localhost/cxr-stand-in/{name}:for-{upstream.rpartition(':')[2]}"
    if variable in os.environ:
        return os.environ[variable]
    here = next((reference for reference in (upstream, stand_in) if has_image(reference)), None)
    if here is not None:
        return here
    if pulled(upstream):
        return upstream
    if not has_image(BASE):
        pytest.skip(f"{upstream} cannot be pulled, and {BASE}, which a stand-in needs, is made by `make base-image`")
    machine = [sys.executable, "images/machine.py", "--out", str(folder / "pip.conf")]
    options = subprocess.run(machine, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    podman("build", "--file", str(STAND_INS / f"{name}.Dockerfile"), "--tag", stand_in,
           "--build-arg", f"BASE_IMAGE={BASE}", *shlex.split(options), str(ROOT))  # fmt: skip
    return stand_in
