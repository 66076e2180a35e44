"""What the containers serve: a bundle that has learned phantoms."""

import pytest

from support.phantom_bundle import PhantomRun, write_phantom_run
from support.podman import image


@pytest.fixture(scope="session")
def serving_images() -> dict[str, str]:
    """The chart's names of the service's images to those on this machine; a skip where there are none."""
    references = [image(name) for name in ("predictor", "drift")]
    return {reference.removeprefix("localhost/"): reference for reference in references}


@pytest.fixture(scope="session")
def phantom_run(serving_images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> PhantomRun:
    """Folders of a run on phantoms; made only where something can serve it."""
    return write_phantom_run(tmp_path_factory.mktemp("phantom") / "run")
