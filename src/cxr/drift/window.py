"""The window of the latest films, on disk: what was taken is there after a SIGKILL."""

import logging
import os
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

import msgspec

from cxr.contracts.events import PredictionEvent
from cxr.contracts.files import sync_folder

logger = logging.getLogger(__name__)

_REMEMBERED = 10_000
_PATTERN = "events-*.jsonl"


class DurableWindow:
    """The latest events, in append-only files of JSON lines; `append` returns once they are synced to disk.

    A new file is begun every `segment` events, and files that hold none of the latest `capacity` are removed. Used
    from one thread at a time, by one process.
    """

    def __init__(self, folder: Path, *, capacity: int = 100, segment: int = 500) -> None:
        """Open the window of a folder, or begin it.

        Args:
            folder: of the files, closed to others.
            capacity: events in the window.
            segment: events in a file.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.capacity = capacity
        self._folder = folder
        self._segment = segment
        self._events: deque[PredictionEvent] = deque(maxlen=capacity)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._files: deque[tuple[Path, int]] = deque()
        for path in sorted(folder.glob(_PATTERN)):
            self._files.append((path, self._recover(path)))
        if not self._files:
            self._files.append((folder / _name(1), 0))
        self._stream = _opened(self._files[-1][0])
        self._size = self._stream.tell()

    @property
    def events(self) -> tuple[PredictionEvent, ...]:
        """The latest, oldest first."""
        return tuple(self._events)

    def append(self, events: Sequence[PredictionEvent]) -> int:
        """Take events whose `id` was not seen before; returns how many those were.

        Raises:
            OSError: they could not be written; none of them counts then.
        """
        fresh = {event.id: event for event in events if event.id not in self._known}
        if not fresh:
            return 0
        self._write(b"".join(msgspec.json.encode(event) + b"\n" for event in fresh.values()))
        for identity, event in fresh.items():
            self._remember(identity, event)
        path, count = self._files.pop()
        self._files.append((path, count + len(fresh)))
        if count + len(fresh) >= self._segment:
            self._rotate()
        return len(fresh)

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()

    def _remember(self, identity: str, event: PredictionEvent) -> None:
        self._events.append(event)
        self._known[identity] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _recover(self, path: Path) -> int:
        """Read a file; what a kill left of a last line is cut off, a line that cannot be read is passed over."""
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)
            logger.warning("an event was cut off by a kill", extra={"bytes": len(data) - whole})
        count = 0
        for line in data[:whole].splitlines():
            count += 1
            try:
                event = msgspec.json.decode(line, type=PredictionEvent)
            except msgspec.DecodeError:
                logger.error("an event on disk is damaged", extra={"file": path.name, "line": count})
            else:
                self._remember(event.id, event)
        return count

    def _write(self, data: bytes) -> None:
        """Add to the file, synced; what an earlier call left behind what counts is cut off first."""
        if self._stream.seek(0, os.SEEK_END) > self._size:
            self._stream.truncate(self._size)
        try:
            view = memoryview(data)
            while view:
                view = view[self._stream.write(view) :]
            os.fsync(self._stream.fileno())
        except OSError:
            with suppress(OSError):
                self._stream.truncate(self._size)
            raise
        self._size += len(data)

    def _rotate(self) -> None:
        """Begin another file and remove those that are not needed; what fails is done with later events."""
        try:
            path = self._folder / _name(int(self._files[-1][0].stem.partition("-")[2]) + 1)
            full, self._stream = self._stream, _opened(path)  # the full one goes on where no other can be begun
            self._size = self._stream.tell()
            self._files.append((path, 0))
            full.close()
            while len(self._files) > 1 and sum(count for _, count in self._files) - self._files[0][1] >= self.capacity:
                self._files[0][0].unlink(missing_ok=True)
                self._files.popleft()
        except OSError as error:
            logger.error("the window's files cannot be kept in order", extra={"reason": error.strerror})


def _name(number: int) -> str:
    return f"events-{number:08d}.jsonl"


def _opened(path: Path) -> FileIO:
    """A file to append to, closed to others, whose name is durable."""
    stream = path.open("ab", buffering=0)
    try:
        path.chmod(0o600)
        sync_folder(path.parent)
    except OSError:
        stream.close()
        raise
    return stream
