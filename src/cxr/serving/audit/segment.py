"""Segments: the files of a trail. `segment-000007.open` is being written, `segment-000007.jsonl` is sealed."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cxr.contracts.files import Contract, sync_folder, write_bytes
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import Head, TrailId

HEAD_FILE = "head.json"
LOCK_FILE = "lock"
DAMAGED_FOLDER = "damaged"
SEALED = ".jsonl"
MAX_LINE = 2**20
"""Bytes; no record comes near it, so a line that does is none."""

_OPEN = ".open"
_NAME = re.compile(r"segment-([0-9]{6,})(\.open|\.jsonl)")


@dataclass(frozen=True, order=True)
class SegmentFile:
    """A segment in a folder."""

    number: int
    path: Path

    @property
    def sealed(self) -> bool:
        """By its name: nothing more is to be written to it."""
        return self.path.suffix == SEALED


def segment_name(number: int) -> str:
    """The name of a sealed segment."""
    return f"segment-{number:06d}{SEALED}"


def segment_number(name: str) -> int | None:
    """The number in a segment's name, None for other names."""
    found = _NAME.fullmatch(name)
    return None if found is None else int(found[1])


def segment_files(folder: Path) -> list[SegmentFile]:
    """The segments in a folder, by number."""
    numbers = ((segment_number(path.name), path) for path in folder.iterdir())
    return sorted(SegmentFile(number, path) for number, path in numbers if number is not None)


def last_record(path: Path) -> bytes:
    """The last line of a segment."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - MAX_LINE))
        return stream.read().rstrip(b"\n").rpartition(b"\n")[2] + b"\n"


class SegmentWriter:
    """Appends to one segment so that what is in it is durable, or not there at all.

    Attributes:
        number: of the segment.
        size: durable bytes.
        records: durable records.
        sealed: its last record says so.
    """

    def __init__(self, folder: Path, number: int, *, size: int = 0, records: int = 0) -> None:
        """Open the segment, made when absent.

        Args:
            folder: of the trail.
            number: of the segment.
            size: bytes of it that are whole records.
            records: that they make.

        Raises:
            OSError: the file cannot be made.
        """
        self.number, self.size, self.records = number, size, records
        self.sealed = False
        self._path = (folder / segment_name(number)).with_suffix(_OPEN)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._dirty = True  # whatever a file of this name may hold behind `size` is none of ours
        try:
            sync_folder(folder)
        except OSError:
            os.close(self._descriptor)
            raise

    def append(self, data: bytes, *, records: int) -> None:
        """Write `data` behind what is there, and return when it is on the disk.

        Raises:
            OSError: nothing of it counts; what did reach the file is taken back, by the next call if not at once.
        """
        self.restore()
        self._dirty = True
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self.size + written)
            os.fdatasync(self._descriptor)
        except OSError:
            with suppress(OSError):
                self.restore()
            raise
        self._dirty = False
        self.size += len(data)
        self.records += records

    def restore(self) -> None:
        """Take back what a failed append left.

        After a failed fsync the kernel may forget which pages are not on the disk (LWN 752063), so the bytes are
        cut off and written anew rather than synced again.

        Raises:
            OSError: it cannot be taken back now.
        """
        if self._dirty:
            os.ftruncate(self._descriptor, self.size)
            os.fsync(self._descriptor)
            self._dirty = False

    def finish(self) -> Path:
        """Give a segment whose last record seals it its final name.

        Raises:
            OSError: it has none yet; may be tried again.
        """
        target = seal_name(self._path)
        self.close()
        return target

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def seal_name(path: Path) -> Path:
    """Give a complete segment the name of a sealed one; again, when that was interrupted.

    Raises:
        OSError: the folder does not take it.
    """
    target = path.with_suffix(SEALED)
    if path.exists():
        path.replace(target)
    sync_folder(path.parent)
    return target


class _HeadFile(Contract, frozen=True, kw_only=True):
    head: Head
    key: TrailId
    digest: str


def write_head(folder: Path, chain: Chain, head: Head) -> None:
    """Keep the head in a file of its own, signed with the chain's key.

    Raises:
        OSError: the file cannot be written; the old one stays.
    """
    value = _HeadFile(head=head, key=chain.fingerprint, digest=chain.digest(_signed(head)))
    write_bytes(folder / HEAD_FILE, msgspec.json.encode(value) + b"\n")


def read_head(folder: Path, chain: Chain) -> Head | None:
    """The head that was kept last, None when there is no such file.

    Raises:
        Altered: the file is not as it was written under this key.
    """
    try:
        value = msgspec.json.decode((folder / HEAD_FILE).read_bytes(), type=_HeadFile)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Altered from error
    if value.digest != chain.digest(_signed(value.head)):
        raise Altered
    return value.head


def _signed(head: Head) -> bytes:
    return b"head " + msgspec.json.encode(head)
