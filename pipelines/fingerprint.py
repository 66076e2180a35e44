"""Digests that stand for films and code in the keys of the cache: a changed input is never answered from it."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import components
import cxr
from cxr.errors import SourceError


def fingerprint(data: str) -> str:
    """Digest of names, sizes and times of the files behind `data`; empty for what is no path on this machine.

    A folder stands for all files below it, an index for itself and the films and masks that it lists.
    """
    path = Path(data)
    if path.is_dir():
        return _digest(_below(path))
    if path.is_file():
        return _digest([path, *_listed(path)])
    return ""


def code_version() -> str:
    """Digest of the sources of the steps and of the components."""
    sources = hashlib.sha256()
    for package in (cxr, components):
        folder = Path(package.__path__[0])
        for path in sorted(_below(folder)):
            if "__pycache__" not in path.parts:
                sources.update(f"{path.relative_to(folder)}\0".encode())
                sources.update(path.read_bytes())
    return sources.hexdigest()[:16]


def _digest(paths: Iterable[Path]) -> str:
    lines = []
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            lines.append(f"{path} absent")
        else:
            lines.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()[:16]


def _below(folder: Path) -> Iterator[Path]:
    for name, _, files in os.walk(folder):
        for file in files:
            yield Path(name, file)


def _listed(index: Path) -> list[Path]:
    """Films and masks that an index lists; none when it is not one, or malformed, which is for ingestion to say."""
    from cxr.steps.sources.index_file import INDEX_SUFFIXES, list_rows

    if index.suffix.lower() not in INDEX_SUFFIXES:
        return []
    try:
        films = list_rows(index)
    except SourceError:
        return []
    return [path for film in films for path in (film.path, film.mask) if path is not None]
