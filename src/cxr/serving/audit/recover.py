"""Where a trail ends when it is opened, and what has to be said about it.

A kill leaves the trail's last segment with whole records, and behind them perhaps a piece of what nobody was told was
durable. A power cut may leave garbage there. Neither can be told from a clumsy hand, so nothing is thrown away: bytes
that are no whole records go to `damaged/`, and a `Recovered` record says how many they were. Where the head file knows
of later records than there are, the trail goes on behind those, so that the gap stays visible for ever.
"""

import os
import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import msgspec

from cxr.contracts.files import sync_folder, write_bytes
from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import (
    FORMAT,
    GENESIS,
    AuditError,
    AuditRecord,
    Head,
    Recovered,
    SegmentOpened,
    SegmentSealed,
)
from cxr.serving.audit.segment import (
    DAMAGED_FOLDER,
    HEAD_FILE,
    MAX_LINE,
    SegmentFile,
    read_head,
    seal_name,
    segment_files,
)


@dataclass(frozen=True, kw_only=True)
class End:
    """Where to go on.

    Attributes:
        head: of the trail so far.
        segment: number of the last segment; 0 when there is none.
        unsealed: it is to be written on.
        size: bytes of its whole records.
        records: that they make.
        findings: to be recorded first.
    """

    head: Head
    segment: int = 0
    unsealed: bool = False
    size: int = 0
    records: int = 0
    findings: tuple[Recovered, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Whole:
    """The whole records at the start of a segment; `last` is None when there is none."""

    trail: str = ""
    size: int = 0
    records: int = 0
    last: AuditRecord | None = None


def find_end(folder: Path, chain: Chain) -> End:
    """Read the last segment and the head, and put the folder in order.

    Raises:
        AuditError: the trail was written under another key, or by another version.
        OSError: the folder cannot be read or put in order.
    """
    files = segment_files(folder)
    for file in files[-1:]:
        _check_opened(file.path, chain)
    kept, findings = _kept_head(folder, chain)
    trail = kept.trail if kept else secrets.token_hex(8)
    end = End(head=Head(trail=trail, sequence=0, digest=GENESIS))
    for file in reversed(files):
        found, torn = _end_of(file, folder, chain)
        findings += torn
        if found is not None:
            end = found
            break
    last = max((file.number for file in segment_files(folder)), default=0)
    if end.segment != last:  # what is behind it is sealed and holds nothing: begin another segment behind both
        end = replace(end, segment=last, unsealed=False)
    if kept is not None and kept.sequence > end.head.sequence:
        first, until = end.head.sequence, kept.sequence
        findings.insert(0, Recovered(segment=max(1, last), cut_bytes=0, lost_after=first, lost_until=until))
        end = replace(end, head=kept)
    return replace(end, findings=tuple(findings))


def _kept_head(folder: Path, chain: Chain) -> tuple[Head | None, list[Recovered]]:
    try:
        return read_head(folder, chain), []
    except Altered:
        path = folder / HEAD_FILE
        data = path.read_bytes()
        finding = _set_aside(folder, HEAD_FILE, data, segment=0)
        path.unlink()
        return None, [finding]


def _end_of(file: SegmentFile, folder: Path, chain: Chain) -> tuple[End | None, list[Recovered]]:
    """The end of one segment, None when it has no whole record; what is damaged in an unsealed one is set aside.

    A sealed one is left as it is: it may be in the bucket, and `verify` reports what is wrong with it.
    """
    whole = _whole_records(file, chain)
    findings: list[Recovered] = []
    if not file.sealed:
        with file.path.open("rb") as stream:
            stream.seek(whole.size)
            rest = stream.read()
        if rest:
            findings.append(_set_aside(folder, file.path.name, rest, segment=file.number))
            _cut(file.path, whole.size)
    if whole.last is None:
        if not file.sealed:
            file.path.unlink()
            sync_folder(folder)
        return None, findings
    complete = isinstance(whole.last.event, SegmentSealed)
    if complete and not file.sealed:
        seal_name(file.path)
    return End(
        head=Head(trail=whole.trail, sequence=whole.last.sequence, digest=whole.last.digest),
        segment=file.number,
        unsealed=not (complete or file.sealed),
        size=whole.size,
        records=whole.records,
    ), findings


def _whole_records(file: SegmentFile, chain: Chain) -> _Whole:
    """Read records while each follows from the one before it."""
    whole = _Whole()
    with file.path.open("rb") as stream:
        while line := stream.readline(MAX_LINE):
            try:
                record = chain.record(line)
            except Altered:
                break
            if whole.last is None:
                if not (isinstance(record.event, SegmentOpened) and record.event.segment == file.number):
                    break
                whole = replace(whole, trail=record.event.trail)
            elif not _follows(record, whole.last):
                break
            whole = replace(whole, size=whole.size + len(line), records=whole.records + 1, last=record)
    return whole


def _follows(record: AuditRecord, last: AuditRecord) -> bool:
    """Whether a record may stand behind another: as the next one, or where an earlier start told of a loss."""
    if isinstance(record.event, Recovered):
        return record.sequence > last.sequence
    return (record.sequence, record.previous) == (last.sequence + 1, last.digest)


def _check_opened(path: Path, chain: Chain) -> None:
    """Tell a trail of another key or version from a damaged one, before anything is set aside."""
    with path.open("rb") as stream:
        line = stream.readline(MAX_LINE)
    try:
        event = msgspec.json.decode(line, type=_Opening).event
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if event.key not in (None, chain.fingerprint):
        raise AuditError(
            f"{path.parent} must be written with the key that it was begun with (fingerprint {event.key}), the key "
            f"given has {chain.fingerprint}; give that key, or begin a trail in another folder"
        )
    if event.format not in (None, FORMAT):
        raise AuditError(
            f"{path.parent} must be of format {FORMAT}, is of {event.format}; use the version that wrote it"
        )


class _OpeningEvent(msgspec.Struct):
    key: str | None = None
    format: int | None = None


class _Opening(msgspec.Struct):
    event: _OpeningEvent


def _set_aside(folder: Path, name: str, data: bytes, *, segment: int) -> Recovered:
    digest = sha256(data).hexdigest()
    write_bytes(folder / DAMAGED_FOLDER / f"{name}.{digest[:16]}", data)
    sync_folder(folder / DAMAGED_FOLDER)
    return Recovered(segment=segment, cut_bytes=len(data), cut_sha256=digest)


def _cut(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
