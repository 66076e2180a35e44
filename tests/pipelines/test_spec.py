"""The compiled pipeline: golden, the same every time, and what one machine makes of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.image import IMAGE
from pipelines.flow import Outputs
from pipelines.placement import SECRETS
from pipelines.retraining import retraining
from pipelines.spec import compile_text, local_text
from pipelines.training import training
from support.toy_pipeline import toy

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "pipelines"
CHANGING = {"register", "promote", "deploy", "promote-canary"}
"""Tasks that change what is outside of the run."""
PIPELINES = {"training": training, "retraining": retraining}


@pytest.fixture(scope="module")
def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(compile_text(training))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_pipeline_is_the_compiled_one(name: str) -> None:
    committed = (COMPILED / f"{name}.yaml").read_text(encoding="utf-8")
    assert committed == compile_text(PIPELINES[name]), "run `make compile` and commit the result"


def test_compiling_in_another_process_gives_the_same(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "pipelines", "compile", "--out", str(tmp_path)], cwd=ROOT, check=True)
    for name in PIPELINES:
        assert (tmp_path / f"{name}.yaml").read_bytes() == (COMPILED / f"{name}.yaml").read_bytes()


def test_every_task_runs_in_the_image_that_is_asked_for() -> None:
    text = compile_text(training, image="registry.example/ml/cxr:1", pull_policy="Always")
    spec, platform = yaml.safe_load_all(text)
    images = {found["container"]["image"] for found in spec["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/ml/cxr:1"}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {found["imagePullPolicy"] for found in executors.values()} == {"Always"}
    assert ":latest" not in IMAGE


def test_only_what_changes_a_registry_or_a_cluster_is_never_cached(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    spec, _ = documents
    dags = [spec["root"], *(found for found in spec["components"].values() if "dag" in found)]
    tasks = {name: task for dag in dags for name, task in dag["dag"]["tasks"].items() if "condition" not in name}
    cached = {name: task.get("cachingOptions", {}).get("enableCache", False) for name, task in tasks.items()}
    assert {name for name, on in cached.items() if not on} == CHANGING
    retried = {name for name, task in tasks.items() if "retryPolicy" in task}
    assert retried == {"ingest", "tune", "train", "register", "promote"}


def test_what_the_gate_refuses_is_never_served(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, _ = documents
    dags = {name: found["dag"]["tasks"] for name, found in spec["components"].items() if "dag" in found}

    def conditions(task: str) -> list[str]:
        inside = next((name for name, tasks in dags.items() if task in tasks), None)
        if inside is None:
            return []
        entry = next(
            (name, found)
            for tasks in (spec["root"]["dag"]["tasks"], *dags.values())
            for name, found in tasks.items()
            if found["componentRef"]["name"] == inside
        )
        return [*conditions(entry[0]), " ".join(entry[1]["triggerPolicy"]["condition"].split())]

    asked, passed, canary = conditions("promote-canary")
    assert "pipelinechannel--deploy_mode'] != 'none'" in asked
    assert "pipelinechannel--register-passed'] == true" in passed
    assert "pipelinechannel--deploy_mode'] == 'canary'" in canary
    assert conditions("deploy") == [asked, passed]


def test_training_has_a_gpu_and_the_rest_has_none(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, kubernetes = documents
    accelerated = {
        name for name, found in spec["deploymentSpec"]["executors"].items()
        if "accelerator" in found["container"]["resources"]
    }  # fmt: skip
    assert (
        accelerated == {"exec-train", "exec-tune"} == {name for name in kubernetes if "tolerations" in kubernetes[name]}
    )
    accelerator = container(spec, "train")["resources"]["accelerator"]
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert accelerator["resourceCount"] == "{{$.inputs.parameters['pipelinechannel--gpus']}}"
    assert spec["root"]["inputDefinitions"]["parameters"]["gpus"]["parameterType"] == "STRING", "the driver reads text"
    train = kubernetes["exec-train"]
    assert train["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    assert train["nodeSelector"] == {"labels": {"nvidia.com/gpu.present": "true"}}
    assert train["emptyDirMounts"][0]["mountPath"] == "/dev/shm"  # noqa: S108
    assert train["pvcMount"][0]["mountPath"] == "/scratch"
    limits = {container(spec, name.removeprefix("exec-"))["resources"].get("resourceMemoryLimit") for name in
              spec["deploymentSpec"]["executors"]}  # fmt: skip
    assert None not in limits


def test_every_task_is_bounded_and_is_not_root(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, kubernetes = documents
    assert set(kubernetes) == set(spec["deploymentSpec"]["executors"])
    for found in kubernetes.values():
        assert 0 < int(found["activeDeadlineSeconds"]) <= 48 * 3600
        assert found["securityContext"] == {"runAsNonRoot": True}
        assert found["imagePullPolicy"] == "IfNotPresent"
    config = next(yaml.safe_load_all(compile_text(training).partition("---\n")[2]))["platforms"]["kubernetes"]
    week = 7 * 24 * 3600
    assert config["pipelineConfig"] == {
        "activeDeadlineSeconds": week, "resourceTtlOnSuccess": week, "resourceTtlOnFailure": 30 * 24 * 3600
    }  # fmt: skip


def test_secrets_are_optional_and_go_only_where_they_are_needed(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    _, kubernetes = documents
    given = {
        name.removeprefix("exec-"): {secret["secretName"]: secret for secret in found.get("secretAsEnv", [])}
        for name, found in kubernetes.items()
    }
    with_kaggle = {name for name, secrets in given.items() if "cxr-kaggle" in secrets}
    with_mlflow = {name for name, secrets in given.items() if "cxr-mlflow" in secrets}
    assert with_kaggle == {"ingest"}
    assert with_mlflow >= {"tune", "train", "register", "promote"}
    assert not given["evaluate"]
    for secret in (secret for secrets in given.values() for secret in secrets.values()):
        assert secret["optional"] is True
        mapped = {pair["secretKey"]: pair["envVar"] for pair in secret["keyToEnv"]}
        assert mapped == SECRETS[secret["secretName"]]
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_ENDPOINT"} <= set(SECRETS["cxr-s3"])


def test_retraining_is_the_same_flow_with_nothing_cached_and_promotion_asked_for() -> None:
    trained, anew = (next(yaml.safe_load_all(compile_text(pipeline))) for pipeline in PIPELINES.values())
    assert trained["deploymentSpec"] == anew["deploymentSpec"]
    assert "enableCache" not in str(anew)
    defaults = [
        {name: found.get("defaultValue") for name, found in spec["root"]["inputDefinitions"]["parameters"].items()}
        for spec in (trained, anew)
    ]
    assert defaults[0] | {"promote": True} == defaults[1]


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
