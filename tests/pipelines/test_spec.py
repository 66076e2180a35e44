"""The compiled pipeline: golden, the same every time, and what one machine makes of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.image import IMAGE
from pipelines.spec import compile_text, local_text
from pipelines.training import Outputs, training
from support.toy_pipeline import toy

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "pipelines" / "training.yaml"


@pytest.fixture(scope="module")
def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(compile_text(training))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]


def test_the_committed_pipeline_is_the_compiled_one() -> None:
    assert COMPILED.read_text(encoding="utf-8") == compile_text(training), "run `make compile` and commit the result"


def test_compiling_in_another_process_gives_the_same(tmp_path: Path) -> None:
    out = tmp_path / "training.yaml"
    subprocess.run([sys.executable, "-m", "pipelines", "compile", "--out", str(out)], cwd=ROOT, check=True)
    assert out.read_bytes() == COMPILED.read_bytes()


def test_every_task_runs_in_the_image_that_is_asked_for() -> None:
    spec = next(yaml.safe_load_all(compile_text(training, image="registry.example/ml/cxr:1")))
    images = {found["container"]["image"] for found in spec["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/ml/cxr:1"}
    assert ":latest" not in IMAGE


def test_only_what_changes_the_registry_is_never_cached(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, _ = documents
    tasks = spec["root"]["dag"]["tasks"] | spec["components"]["comp-condition-1"]["dag"]["tasks"]
    cached = {name: task.get("cachingOptions", {}).get("enableCache", False) for name, task in tasks.items()}
    del cached["condition-1"]
    assert {name for name, on in cached.items() if not on} == {"register", "promote"}
    retried = {name for name, task in tasks.items() if "retryPolicy" in task}
    assert retried == {"ingest", "tune", "train", "register", "promote"}


def test_training_has_a_gpu_and_the_rest_has_none(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, kubernetes = documents
    accelerated = {
        name for name, found in spec["deploymentSpec"]["executors"].items()
        if "accelerator" in found["container"]["resources"]
    }  # fmt: skip
    assert accelerated == {"exec-train", "exec-tune"} == set(kubernetes)
    accelerator = container(spec, "train")["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
    train = kubernetes["exec-train"]
    assert train["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    assert train["nodeSelector"] == {"labels": {"nvidia.com/gpu.present": "true"}}
    assert train["emptyDirMounts"][0]["mountPath"] == "/dev/shm"  # noqa: S108
    assert train["pvcMount"][0]["mountPath"] == "/scratch"
    limits = {container(spec, name.removeprefix("exec-"))["resources"].get("resourceMemoryLimit") for name in
              spec["deploymentSpec"]["executors"]}  # fmt: skip
    assert None not in limits


def test_every_folder_of_a_run_is_an_output(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, _ = documents
    assert set(spec["root"]["outputDefinitions"]["artifacts"]) == set(Outputs._fields)


def test_one_machine_executes_the_same_code_one_step_after_another() -> None:
    cluster = next(yaml.safe_load_all(compile_text(training)))
    spec = yaml.safe_load(local_text(training, code="abc"))
    tasks = spec["root"]["dag"]["tasks"]
    waits = sorted(len(task.get("dependentTasks", [])) for task in tasks.values())
    assert waits[0] == 0
    assert waits[1] == 1, "one task starts, and every other waits for at least one"
    reached: list[str] = []
    while len(reached) < len(tasks):
        ready = [name for name, task in tasks.items()
                 if name not in reached and set(task.get("dependentTasks", [])) <= set(reached)]  # fmt: skip
        assert len(ready) == 1
        reached += ready
    for name, executor in spec["deploymentSpec"]["executors"].items():
        here, there = executor["container"], cluster["deploymentSpec"]["executors"][name]["container"]
        assert here["command"][-1] == there["command"][-1]
        assert here["args"] == there["args"]
        assert here["image"].endswith(":abc")
        assert "resources" not in here
    assert "retryPolicy" not in str(spec)


def test_conditions_and_caching_options_stay() -> None:
    spec = yaml.safe_load(local_text(training, code="abc"))
    assert "promote" in spec["root"]["dag"]["tasks"]["condition-1"]["triggerPolicy"]["condition"]
    small = yaml.safe_load(local_text(toy, code="abc"))
    caching = {name: task["cachingOptions"] for name, task in small["root"]["dag"]["tasks"].items()}
    assert caching == {"numbers": {"enableCache": True}, "double": {"enableCache": True}, "total": {}}
