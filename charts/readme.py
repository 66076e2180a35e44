"""Writes the README of a chart from its values: `python charts/readme.py` keeps `charts/cxr/README.md` up to date."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "cxr"
PLACE = "<!-- values -->\n"

_COMMENT = re.compile(r"\s*# (?P<text>.*)")
_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z][A-Za-z0-9]*):")


def descriptions(text: str) -> dict[str, str]:
    """What the comments `# --` of a values file say, by the path of the value below each.

    Args:
        text: of `values.yaml`, indented by two spaces.
    """
    found: dict[str, str] = {}
    path: list[str] = []
    said: list[str] = []
    for line in text.splitlines():
        if comment := _COMMENT.fullmatch(line):
            said = [comment["text"][3:]] if comment["text"].startswith("-- ") else said and [*said, comment["text"]]
        elif key := _KEY.match(line):
            path = [*path[: len(key["indent"]) // 2], key["name"]]
            if said:
                found[".".join(path)] = " ".join(said)
            said = []
    return found


def rendered(chart: Path) -> str:
    """The README that belongs to the values of a chart."""
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    rows = ["| value | default | |", "|---|---|---|"]
    for path, said in descriptions(text).items():
        rows.append(f"| `{path}` | `{json.dumps(_value(values, path))}` | {said.replace('|', chr(92) + '|')} |")
    page = (chart / "README.in.md").read_text(encoding="utf-8")
    return page.replace(PLACE, "\n".join(rows) + "\n")


def _value(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


if __name__ == "__main__":
    (CHART / "README.md").write_text(rendered(CHART), encoding="utf-8")
