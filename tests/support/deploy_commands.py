"""Whether the commands of docs/deploy.md would work: each is rendered, parsed by its program, or looked up."""

import functools
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import click
import yaml
from helm_python import HelmError

from support.chart import render as render_chart
from support.kubectl_commands import Cluster, Options, check_kubectl, options
from support.shell_text import Command, Unusable

ROOT = Path(__file__).parents[2]
IMAGES = ("pipeline", "predictor", "drift")

_HELM: Mapping[str, set[str]] = {
    "install": {"--namespace", "--values", "--set"},
    "upgrade": {"--namespace", "--values", "--set", "--install", "--reuse-values", "--reset-then-reuse-values"},
    "test": {"--namespace"},
    "history": {"--namespace"},
    "rollback": {"--namespace", "--wait", "--timeout"},
    "uninstall": {"--namespace"},
}
_HELM_ALONE = {"--install", "--reuse-values", "--reset-then-reuse-values", "--wait"}
_CURL_TAKES = {"--cacert", "--resolve", "--header", "--form", "--data-binary"}
_CURL_ALONE = {"--fail-with-body"}
_PLAIN = {"umask", "printf", "base64", "openssl", "cat"}


def check(command: Command, cluster: Cluster) -> None:
    """Raise `Unusable` when a command would not work; what it makes is there for those after it."""
    program, *words = command.words
    program = program.removeprefix(".venv/bin/")
    checks: Mapping[str, Callable[[list[str]], None]] = {
        "kubectl": lambda words: check_kubectl(words, command, cluster),
        "helm": lambda words: _check_helm(words, cluster),
        "python": _check_pipelines,
        "cxr": _check_cxr,
        "make": _check_make,
        "curl": lambda words: _check_curl(words, cluster),
        "podman": _check_podman,
        "kind": _check_kind,
        "skaffold": _check_skaffold,
    }
    if program in checks:
        checks[program](words)
    elif program not in _PLAIN:
        raise Unusable(f"{program} is not one of the programs that can be checked")


def _check_helm(words: list[str], cluster: Cluster) -> None:
    subcommand, *rest = words
    if subcommand not in _HELM:
        raise Unusable(f"helm {subcommand} is not known")
    places, given = options(rest, takes=_HELM[subcommand] - _HELM_ALONE, alone=_HELM[subcommand] & _HELM_ALONE)
    release = places[0]
    if given["--namespace"] != ["cxr"]:
        raise Unusable(f"helm must be told the namespace cxr: {' '.join(words)}")
    if subcommand not in ("install", "upgrade"):
        if release not in cluster.releases:
            raise Unusable(f"the release {release} was not installed before")
        return
    if places[1:] != ["charts/cxr"]:
        raise Unusable(f"the chart must be charts/cxr: {' '.join(words)}")
    if subcommand == "upgrade" and "--install" not in given and release not in cluster.releases:
        raise Unusable(f"the release {release} was not installed before")
    kept = cluster.releases.get(release, {}) if {"--reuse-values", "--reset-then-reuse-values"} & given.keys() else {}
    values = _values(kept, given)
    try:
        objects = render_chart(values, name=release, namespace="cxr")
    except HelmError as error:
        raise Unusable(f"the chart refuses: {error}") from error
    cluster.releases[release] = values
    cluster.add(objects)


def _values(kept: Mapping[str, Any], given: Options) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dict(kept)))
    for file in given.get("--values", []):
        if not (ROOT / file).is_file():
            raise Unusable(f"no such file: {file}")
        _lay_over(values, yaml.safe_load((ROOT / file).read_text()))
    for setting in given.get("--set", []):
        name, _, value = setting.partition("=")
        *path, last = name.split(".")
        place = values
        for step in path:
            place = place.setdefault(step, {})
        place[last] = {"true": True, "false": False}.get(value, int(value) if value.isdecimal() else value)
    return values


def _lay_over(values: dict[str, Any], others: Mapping[str, Any]) -> None:
    for name, value in others.items():
        if isinstance(value, dict):
            _lay_over(values.setdefault(name, {}), value)
        else:
            values[name] = value


def _check_pipelines(words: list[str]) -> None:
    from pipelines.__main__ import main

    if words[:2] != ["-m", "pipelines"]:
        raise Unusable(f"python -m pipelines is known only, not {' '.join(words)}")
    parse(main, words[2:])


def _check_cxr(words: list[str]) -> None:
    from cxr.cli import main

    parse(main, words)


def parse(command: click.Command, words: list[str]) -> None:
    """Have a command's own parser read its words; raise `Unusable` when it refuses."""
    parent = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(parent, words[0]) if words else None
        if found is None:
            raise Unusable(f"{command.name} has no command {words[:1]}")
        command, words = found, words[1:]
    try:
        command.make_context(command.name, list(words))
    except click.ClickException as error:
        raise Unusable(f"{command.name}: {error.format_message()}") from error


def _check_make(words: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--dry-run", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise Unusable(f"make {' '.join(words)}: {done.stderr.strip()}")


def _check_curl(words: list[str], cluster: Cluster) -> None:
    (url,), given = options(words, takes=_CURL_TAKES, alone=_CURL_ALONE)
    found = re.fullmatch(r"https://([\w-]+)\.cxr\.svc:\d+(/\S+)", url)
    if not found or ("service", found[1]) not in cluster.objects:
        raise Unusable(f"no service answers at {url}")
    method = "POST" if {"--form", "--data-binary"} & given.keys() else "GET"
    if not any(re.fullmatch(pattern, found[2]) and method in methods for pattern, methods in _routes()):
        raise Unusable(f"the service has no route {method} {found[2]}")
    if not any(header.startswith("X-API-Key: ") for header in given.get("--header", [])):
        raise Unusable(f"no key is brought to {url}")


@functools.cache
def _routes() -> list[tuple[str, set[str]]]:
    """Path, as a pattern, and methods of every route that the service describes."""
    from cxr.serving.http.routes import add_routes

    service = MagicMock(**{"settings.drift_url": None, "settings.drift_token_file": None})
    described = add_routes(service, MagicMock()).openapi()["paths"]  # of the two, nothing is asked
    return [
        (re.sub(r"\{\w+\}", "[^/]+", path), {name.upper() for name in methods}) for path, methods in described.items()
    ]


def _check_podman(words: list[str]) -> None:
    subcommand, *rest = words
    images, given = options(rest, takes={"--output"}, alone={"--multi-image-archive"})
    if subcommand == "save" and given.get("--output"):
        for image in images:
            _check_image(image.removeprefix("docker.io/"))
        return
    if subcommand not in ("push", "tag") or len(images) != 2:
        raise Unusable(f"podman must push, tag or save images of ours: {' '.join(words)}")
    _check_image(images[0])
    if not images[1].endswith("/" + images[0].removeprefix("cxr/")):
        raise Unusable(f"podman must {subcommand} an image of ours to its own name: {' '.join(words)}")


def _check_kind(words: list[str]) -> None:
    places, _ = options(words, takes={"--name"}, alone=set())
    if places == ["create", "cluster"]:
        return
    if places[:2] != ["load", "image-archive"] or len(places) != 3:
        raise Unusable(f"kind {' '.join(places)} is not known")


def _check_image(image: str) -> None:
    name, _, version = image.partition(":")
    if name not in {f"cxr/{ours}" for ours in IMAGES}:
        raise Unusable(f"there is no image {image}")
    _check_version(version)


def _check_version(version: str) -> None:
    from cxr import __version__

    if version != __version__:
        raise Unusable(f"the version is {__version__}, not {version}")


def _check_skaffold(words: list[str]) -> None:
    places, given = options(words, takes={"--profile", "--default-repo"}, alone=set())
    if places == ["config", "set", "multi-level-repo", "true"]:
        return
    profiles = {profile["name"] for profile in yaml.safe_load((ROOT / "skaffold.yaml").read_text())["profiles"]}
    if places not in (["dev"], ["run"]) or not set(given.get("--profile", [])) & profiles:
        raise Unusable(f"skaffold must dev or run one of the profiles {sorted(profiles)}: {' '.join(words)}")
