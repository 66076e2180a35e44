"""Compiled pipelines as text and as data: for a cluster, and as KFP's local runner needs them."""

import tempfile
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.dsl.graph_component import GraphComponent

from components.image import IMAGE, PULL_POLICY

_EXECUTOR = "kfp.dsl.executor_main"
_ENTRY = f"python3 -m {_EXECUTOR}"
_LOCAL_ENTRY = f"python3 -m pipelines.task {_EXECUTOR}"


def compile_text(
    pipeline: GraphComponent,
    *,
    image: str = IMAGE,
    pull_policy: str = PULL_POLICY,
    defaults: Mapping[str, str] | None = None,
) -> str:
    """The pipeline as the YAML that Kubeflow runs, the same for the same code, with every task in `image`.

    Args:
        pipeline: to compile.
        image: of the tasks.
        pull_policy: of that image.
        defaults: of parameters, in the place of the pipeline's own.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path), pipeline_parameters=dict(defaults or {}))
        text = path.read_text(encoding="utf-8")
    text = text.replace(f"image: {IMAGE}\n", f"image: {image}\n")
    return text.replace(f"imagePullPolicy: {PULL_POLICY}\n", f"imagePullPolicy: {pull_policy}\n")


def local_text(pipeline: GraphComponent, *, code: str) -> str:
    """The pipeline as YAML for one machine.

    The components are the same; what only a cluster can obey is left out, and:

    - the digest of the `code` stands where the image's tag is, so that a changed step is not answered from the cache;
    - tasks start through `pipelines.task`, which reports errors and progress, and ends when the run is killed;
    - one machine runs one step at a time, and a failed step ends the run: each task waits for the one before;
    - nothing is retried: the same step on the same machine fails the same way, and running again resumes.
    """
    spec = next(yaml.safe_load_all(compile_text(pipeline)))
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container.pop("resources", None)
        container["image"] = f"local/python-cxr:{code}"
        container["command"] = [_local_entry(part) for part in container["command"]]
        if _LOCAL_ENTRY not in "".join(container["command"]):
            raise RuntimeError(f"a task's command must start {_ENTRY!r}; this version of kfp writes another")
    for tasks in _task_groups(spec):
        for task in tasks.values():
            task.pop("retryPolicy", None)
    _one_after_another(spec["root"]["dag"]["tasks"])
    return yaml.safe_dump(spec, sort_keys=True)


def _local_entry(part: str) -> str:
    return part.replace(f"_KFP_RUNTIME=true {_ENTRY}", f"_KFP_RUNTIME=true exec {_LOCAL_ENTRY}")


def _task_groups(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield spec["root"]["dag"]["tasks"]
    for component in spec["components"].values():
        if "dag" in component:
            yield component["dag"]["tasks"]


def _one_after_another(tasks: dict[str, Any]) -> None:
    order = list(
        TopologicalSorter({name: task.get("dependentTasks", []) for name, task in tasks.items()}).static_order()
    )
    for before, name in pairwise(order):
        tasks[name]["dependentTasks"] = sorted({*tasks[name].get("dependentTasks", []), before})
