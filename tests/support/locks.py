"""What a lock pins."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;]+)", re.MULTILINE)


def pins(path: str) -> dict[str, str]:
    """Version of each package in a lock of the repository."""
    return dict(_PIN.findall((ROOT / path).read_text()))
