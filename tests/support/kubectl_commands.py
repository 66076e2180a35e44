"""Whether kubectl's commands in a document would work, from a closed list of what they may be."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.kustomize import render
from support.shell_text import Command, Unusable

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]
Options = dict[str, list[str]]

_SHORT = {"-n": "--namespace", "-k": "--kustomize", "-f": "--filename", "-o": "--output"}
_TAKES: Mapping[str, set[str]] = {
    "apply": {"--kustomize", "--filename"},
    "diff": {"--kustomize"},
    "create": {"--from-literal", "--from-file", "--from", "--audience", "--duration", "--dry-run", "--output"},
    "patch": {"--patch", "--type"},
    "set": {"--filename", "--output"},
    "annotate": set(),
    "label": set(),
    "get": {"--output"},
    "describe": set(),
    "logs": set(),
    "scale": {"--replicas"},
    "rollout": {"--timeout"},
    "wait": {"--for", "--timeout"},
    "port-forward": set(),
}
_ALONE: Mapping[str, set[str]] = {"label": {"--all"}, "set": {"--local"}}
_ANNOTATIONS = {f"serving.kserve.io/s3-{name}" for name in ("endpoint", "region", "usehttps", "cabundle-configmap")}
_LABELS = {"nvidia.com/gpu.present"}
_KINDS = {"pods", "horizontalpodautoscalers", "experiments.kubeflow.org", "trials.kubeflow.org",
          "trainjobs.trainer.kubeflow.org"}  # fmt: skip
_OF_KUBEFLOW = {("service", "ml-pipeline"), ("namespace", "cxr"), ("serviceaccount", "default-editor")}


@dataclass
class Cluster:
    """What the commands so far have made.

    Attributes:
        keys: of every secret that anything of ours reads, by the secret's name.
        objects: kind, in lower case, and name.
        secrets: that were made by hand.
        releases: values of every release of the chart.
    """

    keys: dict[str, set[str]]
    objects: set[tuple[str, str]] = field(default_factory=lambda: set(_OF_KUBEFLOW))
    secrets: set[str] = field(default_factory=set)
    releases: dict[str, Object] = field(default_factory=dict)

    def add(self, objects: list[Object]) -> None:
        """Add what was rendered; every secret that it mounts must be there."""
        self.objects |= {(found["kind"].lower(), found["metadata"]["name"]) for found in objects}
        made = {found["spec"]["secretName"] for found in objects if found["kind"] == "Certificate"}
        self.objects |= {("secret", name) for name in made}
        for name in secret_keys(objects).keys() - made - self.secrets:
            raise Unusable(f"the secret {name} was not made before")

    def require(self, kind: str, name: str) -> None:
        """Raise `Unusable` unless there is such an object."""
        if (kind, name) not in self.objects:
            raise Unusable(f"there is no {kind} {name}")


def secret_keys(objects: list[Object]) -> dict[str, set[str]]:
    """Keys that objects read of each secret."""
    keys: dict[str, set[str]] = {}
    for found in _mappings(objects):
        for reference in (found[name] for name in ("secretKeyRef", "secret", "credentials") if name in found):
            if "key" in reference:
                keys.setdefault(reference["name"], set()).add(reference["key"])
            elif "items" in reference:
                name = reference.get("secretName") or reference["name"]
                keys.setdefault(name, set()).update(item["key"] for item in reference["items"])
    return keys


def options(words: list[str], *, takes: set[str], alone: set[str]) -> tuple[list[str], Options]:
    """Words in place, and options with their values; raises `Unusable` at an option that is not known."""
    places: list[str] = []
    given: Options = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name)
        if not word.startswith("-") or word == "-":
            places.append(word)
        elif name in alone and not equals:
            given.setdefault(name, [])
        elif name in takes:
            given.setdefault(name, []).append(value if equals else next(rest, ""))
        else:
            raise Unusable(f"the option {word} is not known")
    return places, given


def check_kubectl(words: list[str], command: Command, cluster: Cluster) -> None:
    """Raise `Unusable` when kubectl could not do what it is told."""
    before = words[:2] if words[:1] == ["-n"] else []
    verb, *rest = words[len(before) :]
    if verb not in _TAKES:
        raise Unusable(f"kubectl {verb} is not known")
    places, given = options(rest, takes=_TAKES[verb] | {"--namespace"}, alone=_ALONE.get(verb, set()))
    namespace = before[1] if before else ""
    if verb in ("apply", "diff"):
        _check_apply(given, command, cluster)
        return
    if verb == "set":
        if places[:1] != ["env"] or "--local" not in given or not command.piped:
            raise Unusable(f"kubectl must set a variable locally, of what is piped to it: {command.source}")
        return
    ours = not ("node" in places or places[:1] == ["namespace/cxr"] or "service/ml-pipeline" in places)
    if ours and namespace != "cxr":
        raise Unusable(f"kubectl must be told the namespace cxr: {command.source}")
    if verb == "create":
        _check_create(places, given, cluster)
    elif verb in ("annotate", "label"):
        _check_marks(verb, places, cluster)
    elif verb == "patch":
        _check_patch(places, yaml.safe_load(given["--patch"][0]), cluster)
    else:
        _check_names(verb, places, cluster)


def _check_apply(given: Options, command: Command, cluster: Cluster) -> None:
    for folder in given.get("--kustomize", []):
        if not (ROOT / folder / "kustomization.yaml").is_file():
            raise Unusable(f"there is no kustomization in {folder}")
        cluster.add(render(ROOT / folder))
    if given.get("--filename", ["-"]) != ["-"] or not (given.get("--kustomize") or command.document or command.piped):
        raise Unusable(f"nothing is applied: {command.source}")
    for found in yaml.safe_load_all(command.document):
        if (found["apiVersion"], found["kind"], found["metadata"]["name"]) != ("kubeflow.org/v1", "Profile", "cxr"):
            raise Unusable(f"only the profile cxr is made by hand: {found}")


def _check_create(places: list[str], given: Options, cluster: Cluster) -> None:
    match places:
        case ["secret", "generic", name]:
            literals = [literal.partition("=")[0] for literal in given.get("--from-literal", [])]
            files = [Path(file.rpartition("=")[2]).name for file in given.get("--from-file", [])]
            unknown = {*literals, *files} - cluster.keys.get(name, set())
            if not literals + files or unknown:
                raise Unusable(f"nothing reads {sorted(unknown) or 'anything'} of the secret {name}")
            cluster.secrets.add(name)
            cluster.objects.add(("secret", name))
        case ["job", name]:
            kind, _, source = given["--from"][0].partition("/")
            cluster.require(kind, source)
            cluster.objects.add(("job", name))
        case ["configmap", name] if given.get("--from-file") == ["cabundle.crt=ca.crt"]:  # the key that KServe reads
            cluster.objects.add(("configmap", name))
        case ["token", name]:
            cluster.require("serviceaccount", name)
        case _:
            raise Unusable(f"kubectl create {' '.join(places)} is not known")


def _check_marks(verb: str, places: list[str], cluster: Cluster) -> None:
    marks = {mark.partition("=")[0] for mark in places if "=" in mark}
    if marks - (_ANNOTATIONS if verb == "annotate" else _LABELS) or not marks:
        raise Unusable(f"nothing reads {sorted(marks)}")
    if verb == "annotate":
        cluster.require(places[0], places[1])


def _check_patch(places: list[str], patch: Object, cluster: Cluster) -> None:
    match places, patch:
        case ["secret", name], {"stringData": values} if set(values) <= cluster.keys.get(name, set()):
            cluster.require("secret", name)
        case ["inferenceservice", name], {"spec": {"canary": None}}:
            cluster.require("inferenceservice", name)
        case _:
            raise Unusable(f"nothing reads {patch} of {' '.join(places)}")


def _check_names(verb: str, places: list[str], cluster: Cluster) -> None:
    if verb == "rollout" and places.pop(0) not in ("status", "restart"):
        raise Unusable("kubectl rollout can status and restart here")
    if verb == "port-forward" and not re.fullmatch(r"\d+:\d+", places.pop()):
        raise Unusable("ports must be LOCAL:REMOTE")
    match places:
        case [name] if "/" in name:
            kind, _, name = name.partition("/")
            cluster.require(kind, name)
        case [kind, name]:
            cluster.require(kind, name)
        case [kinds] if set(kinds.split(",")) <= _KINDS and verb == "get":
            return
        case _:
            raise Unusable(f"kubectl {verb} {' '.join(places)} names nothing that is known")


def _mappings(value: Any) -> Iterator[Object]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)
