"""Whether a trail is what was written: every changed, missing or reordered record, with what it means.

Reads each segment once, front to back, in constant memory: a line, and at most `LIMIT` problems and gaps.
"""

from collections.abc import Sequence

from cxr.serving.audit.chain import Altered, Chain
from cxr.serving.audit.record import (
    GENESIS,
    AuditRecord,
    Head,
    Interrupted,
    Recovered,
    SegmentOpened,
    SegmentSealed,
    SegmentsRemoved,
)
from cxr.serving.audit.report import LIMIT, MEANINGS, AuditReport, Finding, Kind
from cxr.serving.audit.source import SegmentSource, TrailSource


def verify(source: TrailSource, chain: Chain, *, expected_heads: Sequence[Head] = ()) -> AuditReport:
    """Check every record of a trail.

    Args:
        source: see `cxr.serving.audit.source`.
        chain: of the key that the trail was written under.
        expected_heads: that the trail must hold, noted earlier elsewhere.

    Raises:
        AuditError, SourceError, OSError: the trail cannot be read, which says nothing about it.
    """
    pass_ = _Pass(expected_heads if source.head is None else [*expected_heads, source.head])
    for segment in source.segments:
        pass_.segment(segment, chain, last=segment is source.segments[-1], live=source.live)
    pass_.end(source)
    return pass_.report(source)


class _Pass:
    """What is known while records go by."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self._heads: dict[Head, str | None] = dict.fromkeys(heads)  # digest that stands at its number
        self._watched = {head.sequence for head in heads}
        self._problems: list[Finding] = []
        self._count = self._records = 0
        self._recoveries = self._interruptions = self._clock_steps = 0
        self._first: AuditRecord | None = None
        self._last: AuditRecord | None = None
        self._trail: str | None = None
        self._unread = 0  # lines behind `_last` that could not be read
        self._gaps: list[tuple[int, int, str]] = []  # first, until, segment
        self._removed: SegmentsRemoved | None = None

    def segment(self, source: SegmentSource, chain: Chain, *, last: bool, live: bool) -> None:
        """Read one segment."""
        before = self._trouble()
        if source.replaced:
            self._problem("replaced", source.name, self._expected())
        lines, final = 0, None
        for line in source.lines():
            if last and not source.sealed and not line.endswith(b"\n"):
                if not live:
                    self._problem("torn", source.name, self._expected())
                break
            lines, final = lines + 1, None
            try:
                final = chain.record(line)
            except Altered:
                self._problem("altered", source.name, self._expected())
                self._unread += 1
                continue
            self._place(final, source.name)
            self._note(final, source, opens=lines == 1)
        self._ending(source, final, lines, last=last, clean=self._trouble() == before)

    def end(self, source: TrailSource) -> None:
        """Draw the conclusions that need the whole trail."""
        for first, until, name in self._gaps:
            if not self._explained(first, until):
                self._problem("missing", name, first, until)
        for head, digest in self._heads.items():
            self._check_head(head, digest)
        if source.head_state in ("missing", "altered"):
            kind: Kind = "head_missing" if source.head_state == "missing" else "head_altered"
            self._problem(kind, "", self._last.sequence if self._last else 0)

    def report(self, source: TrailSource) -> AuditReport:
        """The result."""
        first, last, trail = self._first, self._last, self._trail
        return AuditReport(
            place=source.place,
            trail=trail,
            segments=len(source.segments),
            records=self._records,
            first=first.sequence if first else None,
            last=last.sequence if last else None,
            began=first.time if first else None,
            ended=last.time if last else None,
            head=Head(trail=trail, sequence=last.sequence, digest=last.digest) if last and trail else None,
            recoveries=self._recoveries,
            interruptions=self._interruptions,
            clock_steps=self._clock_steps,
            problems=tuple(self._problems),
            problem_count=self._count,
        )

    def _expected(self) -> int:
        """The sequence that comes next."""
        return (self._last.sequence if self._last else 0) + self._unread + 1

    def _trouble(self) -> tuple[int, int]:
        return self._count, len(self._gaps)

    def _problem(self, kind: Kind, segment: str, sequence: int, until: int | None = None) -> None:
        self._count += 1
        if len(self._problems) < LIMIT:
            several = until if until is not None and until > sequence else None
            found = Finding(segment=segment, sequence=sequence, until=several, kind=kind, meaning=MEANINGS[kind])
            self._problems.append(found)

    def _place(self, record: AuditRecord, name: str) -> None:
        """Compare a record's place with the one where it was written."""
        sequence, last = record.sequence, self._last
        after = last.sequence if last else 0
        if sequence <= after:
            self._problem("reordered" if self._fills_gap(sequence) else "repeated", name, sequence)
            return
        if sequence == after + 1:
            if record.previous != (last.digest if last else GENESIS):
                self._problem("forked", name, sequence)
        elif sequence > after + self._unread + 1:
            self._gap(after + self._unread + 1, sequence - 1, name)
        if last is None:
            self._first = record
        elif record.time < last.time:
            self._clock_steps += 1
        self._last, self._unread = record, 0

    def _gap(self, first: int, until: int, name: str) -> None:
        if len(self._gaps) < LIMIT:
            self._gaps.append((first, until, name))
        else:
            self._problem("missing", name, first, until)

    def _fills_gap(self, sequence: int) -> bool:
        for index, (first, until, name) in enumerate(self._gaps):
            if first <= sequence <= until:
                rest = [(first, sequence - 1, name), (sequence + 1, until, name)]
                self._gaps[index : index + 1] = [gap for gap in rest if gap[0] <= gap[1]]
                return True
        return False

    def _note(self, record: AuditRecord, source: SegmentSource, *, opens: bool) -> None:
        """Take from a record what it says about the trail."""
        event = record.event
        self._records += 1
        if record.sequence in self._watched:
            for head, digest in self._heads.items():
                if head.sequence == record.sequence and digest != head.digest:
                    self._heads[head] = record.digest
        if opens != isinstance(event, SegmentOpened):
            self._problem("misplaced", source.name, record.sequence)
        match event:
            case SegmentOpened():
                if opens and event.segment != source.number:
                    self._problem("misplaced", source.name, record.sequence)
                self._trail = self._trail or event.trail
                if event.trail != self._trail:
                    self._problem("foreign", source.name, record.sequence)
            case Recovered():
                self._recoveries += 1
                if event.lost_after is not None and event.lost_until is not None:
                    first, until = event.lost_after + 1, event.lost_until
                    self._problem("lost", source.name, first, until)
                    self._gaps = [gap for gap in self._gaps if not (first <= gap[0] and gap[1] <= until)]
            case Interrupted():
                self._interruptions += 1
            case SegmentsRemoved():
                self._removed = event
            case _:
                pass

    def _ending(self, source: SegmentSource, final: AuditRecord | None, lines: int, *, last: bool, clean: bool) -> None:
        """Check how a segment ends; one that has worse trouble, or ends in a line that cannot be read, was told of."""
        event = final.event if final is not None else None
        if isinstance(event, SegmentSealed):
            if clean and (event.segment, event.records) != (source.number, lines):
                self._problem("misplaced", source.name, self._expected() - 1)
        elif (source.sealed or not last) and (final is not None or not lines):
            self._problem("unsealed", source.name, self._expected())

    def _explained(self, first: int, until: int) -> bool:
        """Whether records that are not here were removed by the service, which said so later."""
        removed = self._removed
        if first != 1 or removed is None or self._first is None or self._first.sequence != until + 1:
            return False
        return removed.sequence > until or (removed.sequence == until and removed.digest == self._first.previous)

    def _check_head(self, head: Head, digest: str | None) -> None:
        first = self._first
        if self._trail is not None and head.trail != self._trail:
            self._problem("foreign", "", head.sequence)
        elif digest is not None:
            if digest != head.digest:
                self._problem("forked", "", head.sequence)
        elif head.sequence >= self._expected():
            self._problem("truncated", "", self._expected(), head.sequence)
        elif first is not None and head.sequence == first.sequence - 1 and first.previous != head.digest:
            self._problem("forked", "", head.sequence)
