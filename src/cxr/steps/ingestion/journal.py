"""What has been read so far, on disk: a killed ingestion goes on where it was.

The folder beside the output holds the stored films, one line of JSON per file read and, in the same order, the
thumbnails of the films. A line counts when it is whole; what a kill left behind it is cut off.
"""

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import msgspec
import numpy as np

from cxr.contracts.studies import IMAGES_FOLDER, MASKS_FOLDER
from cxr.errors import ContractError
from cxr.imaging.similarity import SIDE, Thumbnails
from cxr.steps.ingestion.film import Outcome, Refusal, StoredFilm

_LINES, _THUMBNAILS, _SIGNATURE, _LOCK = "films.jsonl", "thumbnails.int8", "signature", "lock"
_THUMBNAIL_BYTES = SIDE * SIDE


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One file read; `row` is that of the film's thumbnail."""

    identity: str
    film: StoredFilm | Refusal
    row: int = -1


class Journal:
    """Outcomes by the identity of their file. Made by `open_journal`."""

    def __init__(self, folder: Path, lines: FileIO, thumbnails: FileIO, done: dict[str, Line]) -> None:
        self._folder, self._lines, self._thumbnails, self._done = folder, lines, thumbnails, done
        self._rows = os.fstat(thumbnails.fileno()).st_size // _THUMBNAIL_BYTES

    def __contains__(self, identity: str) -> bool:
        return identity in self._done

    def __getitem__(self, identity: str) -> Line:
        return self._done[identity]

    def add(self, outcome: Outcome) -> None:
        """Write an outcome down; it is safe from a kill when this returns."""
        row = -1
        if isinstance(outcome.film, StoredFilm):
            self._thumbnails.write(outcome.thumbnail)
            row, self._rows = self._rows, self._rows + 1
        line = Line(identity=outcome.identity, film=outcome.film, row=row)
        self._lines.write(msgspec.json.encode(line) + b"\n")
        self._done[outcome.identity] = line

    def thumbnails(self) -> Thumbnails:
        """Thumbnails by row, memory-mapped: int8 [rows, SIDE, SIDE]."""
        shape = (self._rows, SIDE, SIDE)
        if not self._rows:
            return np.zeros(shape, np.int8)
        return np.memmap(self._folder / _THUMBNAILS, np.int8, mode="r", shape=shape)


@contextmanager
def open_journal(folder: Path, *, signature: str) -> Iterator[Journal]:
    """Open the journal in `folder`, going on from what is there if it was made under the same signature.

    Args:
        folder: made when absent.
        signature: of everything but the files that outcomes depend on.

    Raises:
        ContractError: another process is ingesting into the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ContractError(
                f"{folder} must be used by one ingestion, another one is running; wait for it"
            ) from error
        _start(folder, signature)
        done = _read(folder)
        with (folder / _LINES).open("ab", buffering=0) as lines, (folder / _THUMBNAILS).open("ab", buffering=0) as rows:
            yield Journal(folder, lines, rows, done)


def _start(folder: Path, signature: str) -> None:
    """Remove what was made under another signature, and make the folders."""
    mark = folder / _SIGNATURE
    if not mark.is_file() or mark.read_text() != signature:
        mark.unlink(missing_ok=True)  # first: what a kill leaves of the rest is of no signature
        for name in (IMAGES_FOLDER, MASKS_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (_LINES, _THUMBNAILS):
            (folder / name).unlink(missing_ok=True)
        mark.write_text(signature)
    for name in (IMAGES_FOLDER, MASKS_FOLDER):
        (folder / name).mkdir(exist_ok=True)


def _read(folder: Path) -> dict[str, Line]:
    """The whole lines whose films and masks are still there; cuts off the rest of both files."""
    path, thumbnails = folder / _LINES, folder / _THUMBNAILS
    rows = thumbnails.stat().st_size // _THUMBNAIL_BYTES if thumbnails.exists() else 0
    done: dict[str, Line] = {}
    kept, next_row = 0, 0
    decoder = msgspec.json.Decoder(Line)
    for text in _lines_of(path):
        try:
            line = decoder.decode(text)
        except msgspec.DecodeError:
            break
        if line.row >= rows:
            break
        kept, next_row = kept + len(text), max(next_row, line.row + 1)
        if all((folder / name).is_file() for name in _stored(line)):
            done[line.identity] = line
    for file, size in ((path, kept), (thumbnails, next_row * _THUMBNAIL_BYTES)):
        if file.exists():
            os.truncate(file, size)
    return done


def _stored(line: Line) -> Iterator[str]:
    """What reading the file stored, by its place in the folder."""
    if isinstance(line.film, StoredFilm):
        yield f"{IMAGES_FOLDER}/{line.film.image_id}.png"
        if line.film.masked:
            yield f"{MASKS_FOLDER}/{line.identity}.png"


def _lines_of(path: Path) -> Iterator[bytes]:
    """The lines that end as lines do."""
    if path.exists():
        with path.open("rb") as stream:
            yield from itertools.takewhile(lambda text: text.endswith(b"\n"), stream)
