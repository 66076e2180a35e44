"""What is installed in each image."""

import json

import pytest

from support.locks import pins
from support.podman import image, podman

pytestmark = pytest.mark.containers

CODE = """
import importlib.metadata, json
print(json.dumps({found.name: found.version for found in importlib.metadata.distributions()}))
"""


@pytest.mark.parametrize("name", ["predictor", "drift", "pipeline"])
def test_the_lock_of_which_the_sbom_is_made_says_what_is_installed(name):
    said = podman(
        "run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "python", image(name), "-c", CODE
    )
    installed = {
        package.lower().replace("_", "-").replace(".", "-"): version for package, version in json.loads(said).items()
    }
    del installed["cxr"]
    assert installed == pins(f"images/{name}/requirements.lock")
