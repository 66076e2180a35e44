"""How a person types the programs of this environment."""

import sys
from pathlib import Path


def program(name: str) -> str:
    """A program beside this Python, as it is typed in the working folder: `.venv/bin/cxr`."""
    path = Path(sys.executable).with_name(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
