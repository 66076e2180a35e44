"""Where a trail can be read from: the folder that the service writes, or the bucket that its segments went to."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cxr.adapters.object_store import ObjectStore, StoredVersion
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import AuditError, Head
from cxr.serving.audit.segment import LOCK_FILE, MAX_LINE, SEALED, read_head, segment_files, segment_number


@dataclass(frozen=True, kw_only=True)
class SegmentSource:
    """A segment to be read.

    Attributes:
        name: of the file or object.
        number: by its name.
        sealed: by its name.
        replaced: there are later versions of it.
        open: begins to read it.
    """

    name: str
    number: int
    sealed: bool
    replaced: bool
    open: Callable[[], AbstractContextManager[IO[bytes]]]

    def lines(self) -> Iterator[bytes]:
        """Its lines, each with its end; one that is too long for a record comes in pieces."""
        with self.open() as stream:
            while line := stream.readline(MAX_LINE):
                yield line


@dataclass(frozen=True, kw_only=True)
class TrailSource:
    """A trail to be read.

    Attributes:
        place: folder or address, for people.
        segments: by number.
        trail: its identity, where it is known without reading records.
        head: of the head file, read before the segments were listed; None when there is none.
        head_state: of the head file; "none" where such a file is not kept.
        live: a service is writing to it now.
    """

    place: str
    segments: tuple[SegmentSource, ...]
    trail: str | None = None
    head: Head | None = None
    head_state: str = "none"
    live: bool = False


def folder_source(folder: Path, chain: Chain) -> TrailSource:
    """The trail in a folder; a service may be writing to it.

    Raises:
        AuditError: there is no trail.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise AuditError(f"{folder} must be the folder of an audit trail, is no folder")
    live = _live(folder)
    head, state = None, "good"
    try:
        head = read_head(folder, chain)
    except Altered:
        state = "altered"
    else:
        state = "good" if head is not None else "missing"
    files = segment_files(folder)
    if not files and state == "missing":
        raise AuditError(f"{folder} must be the folder of an audit trail, holds neither segments nor a head")
    segments = tuple(
        SegmentSource(
            name=file.path.name,
            number=file.number,
            sealed=file.sealed,
            replaced=False,
            open=_file(file.path),
        )
        for file in files
    )
    trail = None if head is None else head.trail
    return TrailSource(place=str(folder), segments=segments, trail=trail, head=head, head_state=state, live=live)


def bucket_sources(store: ObjectStore, bucket: str, prefix: str) -> list[TrailSource]:
    """The trails below a prefix, one for each service that wrote there.

    Of each segment the first version is read: under object lock it is the one that the service wrote and that nobody
    could remove since. Later ones can only have been put there to hide it.

    Raises:
        AuditError: there is none.
        SourceError: the store cannot be reached or refuses.
    """
    trails: dict[str, dict[int, list[StoredVersion]]] = {}
    for version in store.versions(bucket, prefix):
        folder, _, name = version.key.removeprefix(prefix).rpartition("/")
        number = segment_number(name)
        if number is not None and name.endswith(SEALED):
            trails.setdefault(folder, {}).setdefault(number, []).append(version)
    for segments in trails.values():
        for number in [number for number, versions in segments.items() if all(each.deletion for each in versions)]:
            del segments[number]
    if not trails:
        raise AuditError(f"s3://{bucket}/{prefix} must hold segments of an audit trail, holds none")
    return [
        TrailSource(
            place=f"s3://{bucket}/{prefix}{folder}",
            trail=folder,
            segments=tuple(_stored(store, bucket, number, segments[number]) for number in sorted(segments)),
        )
        for folder, segments in sorted(trails.items())
    ]


def _stored(store: ObjectStore, bucket: str, number: int, versions: list[StoredVersion]) -> SegmentSource:
    first = next(version for version in versions if not version.deletion)
    return SegmentSource(
        name=first.key.rpartition("/")[2],
        number=number,
        sealed=True,
        replaced=any(version.deletion or version.etag != first.etag for version in versions),
        open=lambda: store.reading(bucket, first.key, first.version),
    )


def _file(path: Path) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        try:
            return path.open("rb")
        except FileNotFoundError:  # sealed since it was listed
            return path.with_suffix(SEALED).open("rb")

    return opened


def _live(folder: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
