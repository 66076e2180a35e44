"""Files that are whole or absent: every contract is written to a temporary name and renamed."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from cxr.errors import ContractError

T = TypeVar("T")


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value that passes between two steps: frozen, strict, validated on read and on write."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, even after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: msgspec.Struct) -> None:
    """Write a contract as indented JSON; raises `ContractError` when the value breaks its own type."""
    try:
        msgspec.convert(msgspec.to_builtins(value), type(value))
    except msgspec.ValidationError as error:
        raise ContractError(f"{path}: refused to write an invalid {type(value).__name__}: {error}") from error
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def read_json(path: Path, kind: type[T]) -> T:
    """Read a contract; raises `ContractError` when the file is missing or not a valid `kind`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise ContractError(f"{path} must exist: the step that writes it has not finished; run it first") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError(
            f"{path} must be a valid {kind.__name__}: {error}; run the step that writes it again"
        ) from error


def read_json_if_there(path: Path, kind: type[T]) -> T | None:
    """Read a contract that may not have been written; raises `ContractError` when the file is not a valid `kind`."""
    return read_json(path, kind) if path.exists() else None


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `target` when the block ends well, replacing what was there.

    A kill at any point leaves `target` as it was, or absent.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    draft.mkdir()
    try:
        yield draft
        replace_folder(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_replaceable(folder: Path, mark: str, *, reads: Iterable[Path] = ()) -> None:
    """Raise `ContractError` unless a step may write `folder`: nothing is there, or what the same step wrote before.

    Args:
        folder: to be written, and replaced whole.
        mark: file that the step always writes at the top of its folder.
        reads: what the step reads, which may not lie in the folder.
    """
    if not folder.name or folder.name == "..":
        raise ContractError(f"the folder to write must have a name, is {str(folder)!r}: name another")
    for read in reads:
        if read.exists() and read.resolve().is_relative_to(folder.resolve()):
            raise ContractError(f"{folder} would be replaced and must not hold what is read, {read}: name another")
    written = folder / mark
    if not folder.exists() or (written.is_file() and not written.is_symlink()):  # a run links to its report
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ContractError(
            f"{folder} would be replaced and must be a new or empty folder, or one that this step wrote before (with "
            f"{mark} in it); it holds other files: name another"
        )


def replace_folder(draft: Path, target: Path) -> None:
    """Rename the folder `draft` to `target`; a folder already there is moved aside first and then removed."""
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    if target.exists():
        target.rename(aside)
    draft.rename(target)
    if aside.exists():
        shutil.rmtree(aside, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder of work that a later call would go on from: a kill leaves all of it, or nothing under its name.

    What a kill leaves lies beside it, for `clear_removed`.
    """
    clear_removed(folder)
    aside = _removed(folder)
    folder.rename(aside)
    shutil.rmtree(aside)


def clear_removed(folder: Path) -> None:
    """Remove what a kill left of a folder that `remove_folder` was removing; there may be none."""
    shutil.rmtree(_removed(folder), ignore_errors=True)


def _removed(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.removed")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 over the sorted relative names and digests of all files below `folder`."""
    lines = [
        f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n" for path in folder.rglob("*") if path.is_file()
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def value_digest(value: msgspec.Struct) -> str:
    """SHA-256 of a contract's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
