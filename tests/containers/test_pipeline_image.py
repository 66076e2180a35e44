"""Two steps of the compiled pipeline in its image, one after the other, as Kubeflow starts them."""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kfp import dsl

from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from support.kfp_task import MOUNT, OUTPUT_FILE, OUTPUTS, Task, artifact_of, make_task
from support.podman import image, podman

pytestmark = pytest.mark.containers

COMPILED = Path(__file__).parents[2] / "pipelines" / "training.yaml"
UID = 54_321
FILMS = 60
HARDENED = (
    "--read-only", "--tmpfs", "/tmp",  # noqa: S108 - in the container
    "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none",
    "--pull", "never",
)  # fmt: skip


@dataclass(frozen=True)
class Done:
    """A task that ran to its end: what it wrote, and what it said."""

    task: Task
    output: Path
    store: Path

    def folder(self, name: str) -> Path:
        return self.task.path(name, self.store)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """Run a component in the image as a user that the image does not know."""
    reference = image("pipeline")
    base = tmp_path_factory.mktemp("kfp")
    store = base / "store"
    store.mkdir()

    def run(name: str, **arguments: object) -> Done:
        task = make_task(COMPILED, name, arguments)
        assert reference == f"localhost/{task.image}"
        told = base / name
        told.mkdir()
        for folder in (store, told):
            os.chown(folder, UID, 0)
        container = f"cxr-test-{name}-{uuid.uuid4().hex[:8]}"
        try:
            podman("run", "--rm", "--name", container, *HARDENED, "--user", f"{UID}:0", "--env", "HOME=/tmp",
                   "--volume", f"{store}:{MOUNT}", "--volume", f"{told}:{OUTPUTS}",
                   "--entrypoint", task.command[0], reference, *task.command[1:])  # fmt: skip
        finally:
            podman("rm", "--force", "--ignore", container)
        return Done(task, told / OUTPUT_FILE, store)

    return run


@pytest.fixture(scope="module")
def ingested(run: Callable[..., Done]) -> Done:
    return run("ingest", data=f"phantom:{FILMS}", data_version="1", recipe="demo")


@pytest.fixture(scope="module")
def divided(run: Callable[..., Done], ingested: Done) -> Done:
    studies = artifact_of(ingested.output, "studies", dsl.Dataset)
    return run("split", studies=studies, recipe="demo")


def test_the_executor_tells_the_launcher_of_every_output(ingested: Done, divided: Done):
    for done, names in ((ingested, {"studies", "dataset_report"}), (divided, {"split"})):
        told = json.loads(done.output.read_text())["artifacts"]
        assert set(told) == names
        for name in names:
            assert told[name]["artifacts"][0]["uri"] == done.task.outputs[name]["artifacts"][0]["uri"]


def test_the_first_step_writes_studies_and_a_report(ingested: Done):
    studies = StudyIndex.read(ingested.folder("studies"))
    assert 0.9 * FILMS < len(studies) <= FILMS
    assert set(studies.films["label"]) == set(TAXONOMY.findings)
    assert "<html" in ingested.folder("dataset_report").read_text()


def test_the_second_step_divides_the_films_of_the_first(ingested: Done, divided: Done):
    studies, split = (StudyIndex.read(done.folder(name)) for done, name in ((ingested, "studies"), (divided, "split")))
    assert list(split.films["image_id"]) == list(studies.films["image_id"])
    assert set(split.films["split"]) == {str(part) for part in Split}


def test_what_is_written_belongs_to_the_tasks_own_user(divided: Done):
    assert {path.stat().st_uid for path in divided.folder("split").rglob("*")} == {UID}


def test_nothing_that_only_builds_or_develops_is_in_the_image():
    reference = image("pipeline")
    code = (
        "import importlib.util, cxr.cli, kfp, kubernetes, mlflow, torch; "
        "print([n for n in ('pip', 'pytest', 'mypy', 'triton', 'kserve') if importlib.util.find_spec(n)])"
    )
    said = podman("run", "--rm", *HARDENED, "--user", f"{UID}:0", "--entrypoint", "python", reference, "-c", code)
    assert said.strip() == "[]"
