"""One task of a compiled pipeline, as Kubeflow's driver and launcher start it in a container."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.local import executor_input_utils, placeholder_utils
from kfp.pipeline_spec.pipeline_spec_pb2 import ComponentSpec

STORE = "minio://mlpipeline/v2/artifacts/training/run-1"
"""Where the launcher keeps artifacts; it mounts the store's buckets at /minio."""

MOUNT = "/minio"
OUTPUTS = "/tmp/kfp_outputs"  # noqa: S108 - the launcher's own
OUTPUT_FILE = "output_metadata.json"


@dataclass(frozen=True)
class Task:
    """A task's image and what to start in it."""

    image: str
    command: list[str]
    outputs: dict[str, Any]

    def path(self, name: str, store: Path) -> Path:
        """Where an output artifact lies, in the folder that is mounted at `MOUNT`."""
        return store / self.outputs[name]["artifacts"][0]["uri"].removeprefix("minio://")


def make_task(compiled: Path, name: str, arguments: Mapping[str, Any]) -> Task:
    """The task of a component of a compiled pipeline, placeholders filled in.

    Args:
        compiled: the pipeline's YAML; platform settings in it are of no concern here.
        name: of the component, as in `comp-NAME`.
        arguments: values of its parameters, and artifacts.
    """
    pipeline = next(iter(yaml.safe_load_all(compiled.read_text())))
    component = json_format.ParseDict(pipeline["components"][f"comp-{name}"], ComponentSpec())
    executor = pipeline["deploymentSpec"]["executors"][component.executor_label]["container"]
    message = executor_input_utils.construct_executor_input(
        component, dict(arguments), task_root=f"{STORE}/{name}", block_input_artifact=False
    )
    message.outputs.output_file = f"{OUTPUTS}/{OUTPUT_FILE}"
    filled = json_format.MessageToDict(message)
    command = placeholder_utils.replace_placeholders(
        [*executor["command"], *executor["args"]],
        filled,
        pipeline_resource_name="run-1",
        task_resource_name=name,
        pipeline_root=STORE,
        unique_pipeline_id="1",
    )
    return Task(executor["image"], command, filled["outputs"]["artifacts"])


def artifact_of(output: Path, name: str, kind: type[dsl.Artifact]) -> dsl.Artifact:
    """An output artifact that a task's metadata tells of, to be the next one's input."""
    [told] = json.loads(output.read_text())["artifacts"][name]["artifacts"]
    return kind(name=told["name"], uri=told["uri"], metadata=told.get("metadata", {}))
