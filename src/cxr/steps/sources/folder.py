"""Films of a folder: its index where it has one, else every file, labelled by the folders above it.

The folder above a film that is named after a finding ("NORMAL", "tb") is its label; folders above that one
(`train/`, a data set's name) say nothing. A folder of another name beside those is a class of its own, so that
ingestion lists its films as refused instead of losing them. Where no folder is named after a finding, all films are
unlabelled.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from cxr.contracts.source import SourceFilm
from cxr.domain import TAXONOMY
from cxr.errors import SourceError
from cxr.steps.sources.index_file import INDEX_SUFFIXES, read_index

logger = logging.getLogger(__name__)

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_MASKS = {"mask", "masks"}
_DEBRIS_FOLDERS = {"__macosx"}
_DEBRIS_FILES = {"thumbs.db", "desktop.ini", "dicomdir"}
_DOCUMENTS = {".txt", ".md", ".rst", ".csv", ".tsv", ".parquet", ".xlsx", ".json", ".xml", ".yaml", ".yml", ".html"}


def read_folder(folder: Path, *, confined: bool = False) -> list[SourceFilm]:
    """List the films of a folder, by name.

    Hidden files, what operating systems leave behind, documents and folders of masks are passed over.

    Args:
        folder: an existing folder.
        confined: the folder was downloaded: neither links nor an index may lead out of it.

    Raises:
        SourceError: the folder has two indexes, cannot be read or holds no file that could be a film.
    """
    index = index_among((path.name for path in folder.glob("index.*") if path.is_file()), str(folder))
    if index is not None:
        return read_index(folder / index, confined=confined)
    names = sorted(_files(folder, follow_links=not confined))
    if not names:
        raise SourceError(
            f"{folder} must hold films, holds none; give a folder of <class>/<files> or with an index.csv"
        )
    labels = _labels([PurePosixPath(name).parts[:-1] for name in names], folder)
    return [SourceFilm(path=folder / name, name=name, label=label) for name, label in zip(names, labels, strict=True)]


def index_among(names: Iterable[str], place: str) -> str | None:
    """The one of `names` that is an index (`index.csv`, …), or None; raises `SourceError` when there are two."""
    indexes = sorted({f"index{suffix}" for suffix in INDEX_SUFFIXES} & set(names))
    if len(indexes) > 1:
        raise SourceError(f"{place} must have one index, has {' and '.join(indexes)}; give one of these files")
    return indexes[0] if indexes else None


def _files(folder: Path, *, follow_links: bool) -> Iterator[str]:
    """Relative names of the files that could be films; each folder is entered once, however many links lead to it."""
    entered = {os.path.realpath(folder)}
    passed: Counter[str] = Counter()
    for root, folders, files in os.walk(folder, onerror=_unreadable, followlinks=follow_links):
        kept = [name for name in sorted(folders) if _is_folder_of_films(name)]
        passed["folders"] += len(folders) - len(kept)
        folders[:] = []
        for name in kept:
            real = os.path.realpath(Path(root, name))
            if real not in entered:
                entered.add(real)
                folders.append(name)
        for name in files:
            if _could_be_film(name):
                yield Path(root, name).relative_to(folder).as_posix()
            else:
                passed["files"] += 1
    if passed.total():
        logger.info(
            "%s: passed over %d files and %d folders that hold no films", folder, passed["files"], passed["folders"]
        )


def _unreadable(error: OSError) -> None:
    raise SourceError(f"{error.filename} must be readable: {error.strerror}; change its permissions") from error


def _is_folder_of_films(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _MASKS | _DEBRIS_FOLDERS


def _could_be_film(name: str) -> bool:
    return (
        not name.startswith(".")
        and name.lower() not in _DEBRIS_FILES
        and PurePosixPath(name).suffix.lower() not in _DOCUMENTS
    )


def _labels(folders: list[tuple[str, ...]], root: Path) -> list[str | None]:
    """Label of each film from the names of the folders above it, outermost first."""
    depths = [_finding_depth(names) for names in folders]
    above = {names[:depth] for names, depth in zip(folders, depths, strict=True) if depth is not None}
    if not above:
        logger.warning(
            "%s: no folder is named after a finding (%s), so that all films are unlabelled", root, ", ".join(TAXONOMY)
        )
    return [
        names[depth] if depth is not None else _beside_findings(names, above)
        for names, depth in zip(folders, depths, strict=True)
    ]


def _beside_findings(names: tuple[str, ...], above: set[tuple[str, ...]]) -> str | None:
    """Name of the innermost folder that lies beside one named after a finding."""
    beside = [name for depth, name in enumerate(names) if names[:depth] in above and name.lower() not in _SPLITS]
    return beside[-1] if beside else None


def _finding_depth(names: tuple[str, ...]) -> int | None:
    """Depth of the innermost folder that is named after a finding."""
    return max((depth for depth, name in enumerate(names) if TAXONOMY.canonical(name)), default=None)
