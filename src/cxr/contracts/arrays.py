"""Plain arrays beside a contract: `.npz` files that are whole or absent, read without running what is in them."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cxr.contracts.files import write_bytes
from cxr.errors import ContractError


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name; the same values in the same order give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path, *, step: str) -> dict[str, Any]:
    """Arrays by name; what they must be is for the caller to check.

    Args:
        path: as `write_arrays` wrote it.
        step: command that writes it, for the error.

    Raises:
        ContractError: the file is missing, or holds anything but plain arrays.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ContractError(f"{path} must hold plain arrays: {error}; run `{step}` again") from error
