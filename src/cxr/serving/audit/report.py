"""What a verification finds, in words."""

from datetime import datetime
from typing import Literal

from cxr.contracts.files import Contract
from cxr.serving.audit.record import Head

LIMIT = 1000
"""Problems that are told one by one; all are counted."""

Kind = Literal[
    "altered",
    "missing",
    "reordered",
    "repeated",
    "forked",
    "foreign",
    "misplaced",
    "unsealed",
    "torn",
    "truncated",
    "replaced",
    "lost",
    "head_missing",
    "head_altered",
]

MEANINGS: dict[Kind, str] = {
    "altered": "these bytes are not what was written under this key: changed, inserted, or of another key",
    "missing": "records of these numbers were written and are not here",
    "reordered": "this record is valid but does not stand where it was written",
    "repeated": "this record was written once and stands here again",
    "forked": "this record is valid but was written after another one than stands before it: an older copy of the "
    "trail was put back and written on, or one put in place of another",
    "foreign": "this record is of another trail",
    "misplaced": "this segment does not begin, end or count as it was written; lines or files were moved",
    "unsealed": "this segment is not the last and was never completed, or its end was cut off",
    "torn": "the last line is no whole record: a kill or a power cut interrupted it, which the next start of the "
    "service records, or it was cut off",
    "truncated": "the trail ends before a head that is known: records at its end were cut off",
    "replaced": "the bucket has later versions of this segment, or a mark that it was deleted; the first was read",
    "lost": "when the service started, records that it had acknowledged were gone",
    "head_missing": "the head file was deleted",
    "head_altered": "the head file is not what was written under this key",
}


class Finding(Contract, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        segment: name of the file or object; "" for the trail as a whole.
        sequence: of the record that it is about, or first of those; the expected one where the record cannot be read.
        until: last of those, when there are several.
        kind: of problem.
        meaning: for a person.
    """

    segment: str
    sequence: int
    until: int | None = None
    kind: Kind
    meaning: str


class AuditReport(Contract, frozen=True, kw_only=True):
    """What `verify` found.

    Attributes:
        place: folder or address.
        trail: its identity; None when there is no record that could say.
        segments, records: read; records count when they are valid.
        first, last: sequences there.
        began, ended: times of these records.
        head: of what is there.
        recoveries: starts after a kill that cut bytes which nobody was told were durable; no problem.
        interruptions: times when nothing could be written, and nothing was answered; no problem.
        clock_steps: times when the clock went back; no problem.
        problems: at most `LIMIT`.
        problem_count: all of them.
    """

    place: str
    trail: str | None
    segments: int
    records: int
    first: int | None
    last: int | None
    began: datetime | None
    ended: datetime | None
    head: Head | None
    recoveries: int
    interruptions: int
    clock_steps: int
    problems: tuple[Finding, ...]
    problem_count: int

    @property
    def intact(self) -> bool:
        """Nothing is wrong."""
        return not self.problem_count
