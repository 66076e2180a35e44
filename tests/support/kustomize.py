"""The kustomizations of manifests/, rendered: by kubectl where one is installed that is new enough, and here always.

What is here is the part of kustomize that manifests/ uses, and refuses every field that it does not know, so that a
kustomization cannot quietly mean something else to it than to kubectl. Where both are there a test compares them.
"""

import copy
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = ("kind", "production")

Object = dict[str, Any]

_FIELDS = {"apiVersion", "kind", "namespace", "labels", "resources", "patches"}
_CLUSTER_WIDE = {"Namespace"}
_BY_KEY = {"containers": "name", "env": "name", "volumes": "name"}
_REPLACED = {"accessModes", "egress"}
_NEW = {"topologySpreadConstraints"}
_OLDEST = 5


class Refused(ValueError):  # noqa: N818 - what happened to the kustomization
    """A kustomization, or a patch in it, says what this renderer does not know."""


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization."""
    text = yaml.safe_load((folder / "kustomization.yaml").read_text())
    _only(text, _FIELDS, f"{folder.name}/kustomization.yaml")
    objects = [found for name in text["resources"] for found in _resource(folder / name)]
    for patch in text.get("patches", []):
        _patch(objects, patch, folder)
    for found in objects:
        for labels in text.get("labels", []):
            _only(labels, {"pairs"}, "labels")
            found["metadata"].setdefault("labels", {}).update(labels["pairs"])
        if "namespace" in text and found["kind"] not in _CLUSTER_WIDE:
            found["metadata"]["namespace"] = text["namespace"]
    names = [identity(found) for found in objects]
    if len(names) != len(set(names)):
        raise Refused(f"an object is there twice among {names}")
    return objects


def kubectl_render(folder: Path) -> list[Object]:
    """The objects of a kustomization, by kubectl."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True, timeout=60)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@functools.cache
def kubectl_is_new() -> bool:
    """Whether a kubectl is here whose kustomize knows `patches` and `labels`."""
    if not shutil.which("kubectl"):
        return False
    command = ["kubectl", "version", "--client", "--output=yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"kustomizeVersion: v(\d+)", done.stdout)
    return bool(found and int(found[1]) >= _OLDEST)


def identity(found: Object) -> tuple[str, str, str]:
    """Kind, namespace and name: no two objects of a cluster share them."""
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def pod_specs(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and spec of every pod that the objects make."""
    paths = {
        "Deployment": ("spec", "template", "spec"),
        "StatefulSet": ("spec", "template", "spec"),
        "Job": ("spec", "template", "spec"),
        "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    }
    for found in objects:
        if found["kind"] in paths:
            spec: Any = found
            for step in paths[found["kind"]]:
                spec = spec[step]
            yield found["metadata"]["name"], spec


def _resource(path: Path) -> list[Object]:
    if path.is_dir():
        return render(path)
    # through JSON, so that what an anchor repeats is not one mapping that changes everywhere
    return [json.loads(json.dumps(found)) for found in yaml.load_all(path.read_text(), _UniqueKeys) if found]


def _patch(objects: list[Object], patch: Object, folder: Path) -> None:
    _only(patch, {"path", "patch", "target"}, "patches")
    target = patch["target"]
    _only(target, {"kind", "name"}, "target")
    text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
    (content,) = yaml.load_all(text, _UniqueKeys)
    chosen = [
        found
        for found in objects
        if found["kind"] == target["kind"] and re.fullmatch(target["name"], found["metadata"]["name"])
    ]
    if not chosen:
        raise Refused(f"a patch has no target: {target}")
    for found in chosen:
        if isinstance(content, list):
            _operate(found, content)
        else:
            changes = {name: value for name, value in content.items() if name not in ("apiVersion", "kind", "metadata")}
            _merge(found, copy.deepcopy(changes), found["kind"])


def _operate(found: Object, operations: list[Object]) -> None:
    """JSON patch: only what adds to the end of a list."""
    for operation in operations:
        _only(operation, {"op", "path", "value"}, "operation")
        *steps, last = operation["path"].strip("/").split("/")
        if operation["op"] != "add" or last != "-":
            raise Refused(f"only additions to the end of a list are known, not {operation['op']} {operation['path']}")
        place: Any = found
        for step in steps:
            place = place[step]
        place.append(copy.deepcopy(operation["value"]))


def _merge(into: Object, changes: Object, path: str) -> None:
    """Strategic merge: mappings by field, the lists of pods by name."""
    for name, value in changes.items():
        here = f"{path}.{name}"
        if value is None or name.startswith("$"):
            raise Refused(f"deletions and directives are not known: {here}")
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value, here)
        elif name in _BY_KEY and isinstance(value, list):
            _merge_list(into.setdefault(name, []), value, _BY_KEY[name], here)
        elif isinstance(value, list) and not (name in _REPLACED or (name in _NEW and name not in into)):
            raise Refused(f"how this list is merged is not known: {here}")
        else:
            into[name] = value


def _merge_list(into: list[Object], changes: list[Object], key: str, path: str) -> None:
    for change in changes:
        same = [item for item in into if item[key] == change[key]]
        if not same:
            raise Refused(f"nothing there is called {change[key]}: {path}")
        _merge(same[0], change, f"{path}[{change[key]}]")


def _only(mapping: Object, known: set[str], where: str) -> None:
    if unknown := mapping.keys() - known:
        raise Refused(f"{where}: not known here: {', '.join(sorted(unknown))}")


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, as the API server would in strict mode."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise Refused(f"{node.start_mark}: a key is there twice: {keys}")
        return super().construct_mapping(node, deep)
