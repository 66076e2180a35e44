"""Print the options that let a build in a container install packages as this machine's pip does.

python images/machine.py --out runs/pip.conf

Writes pip's settings, from its files and its variables, to one pip.conf, and mounts it and what it names of this
machine: an authority's certificate, folders of wheels, constraints. A machine without settings gets no options. This is
for podman and buildah: docker cannot mount in a build, and takes `--build-arg PIP_INDEX_URL=…` instead.
"""

import argparse
import ast
import os
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

AUTHORITIES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def pip_settings() -> dict[str, dict[str, str]]:
    """Section to option to value, as pip itself sees them; of an option's sources the variable wins."""
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    # A Python without pip has no settings of it either.
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603
    found: dict[str, dict[str, str]] = {}
    variables: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        (variables if section == ":env:" else found.setdefault(section, {}))[option] = str(ast.literal_eval(value))
    found.setdefault("global", {}).update(variables)
    authority = next((os.environ[name] for name in AUTHORITIES if os.environ.get(name)), None)
    if authority:
        found["global"].setdefault("cert", authority)
    return {section: options for section, options in found.items() if options}


def named_paths(settings: dict[str, dict[str, str]]) -> list[Path]:
    """Files and folders of this machine that the settings name; of an index, the folder that its links lead into."""
    found = set()
    for word in (word for options in settings.values() for value in options.values() for word in value.split()):
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            found.add(path.parent if word.startswith("file://") else path)
    return sorted(found)


def build_options(settings: dict[str, dict[str, str]], out: Path) -> list[str]:
    """Write `out` and return the options; none where there are no settings."""
    if not settings:
        return []
    written = ConfigParser(interpolation=None)
    written.read_dict({section: {k: "\n".join(v.split()) for k, v in o.items()} for section, o in settings.items()})
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w") as stream:
        os.fchmod(stream.fileno(), 0o600)  # an index's address may hold a password
        written.write(stream)
    mounts = [f"{out.absolute()}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in named_paths(settings))]
    return [word for mount in mounts for word in ("--volume", mount)]


def main() -> None:
    """Parse, write and print."""
    parser = argparse.ArgumentParser(description="Options of a build that installs packages as this machine does.")
    parser.add_argument("--out", type=Path, default=Path("runs/pip.conf"))
    sys.stdout.write(shlex.join(build_options(pip_settings(), parser.parse_args().out)) + "\n")


if __name__ == "__main__":
    main()
