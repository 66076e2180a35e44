"""What the audit trail holds.

No event has a field for free text: identifiers are HMACs or random, codes are of a fixed alphabet, and `checked`
enforces this before anything is written.
"""

import re
from datetime import datetime
from typing import Annotated, Literal, get_args

import msgspec

from cxr.contracts.files import Contract
from cxr.errors import ServingError

FORMAT = 1
"""Version of the lines; stated by the first record of each segment."""

GENESIS = "0" * 64
"""`previous` of a trail's first record."""

Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}\Z")]
Hex256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
KeyId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9.+_-]{1,80}\Z")]
TrailId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9 ./_:-]{1,80}\Z")]
Protocol = Literal["rest", "grpc"]


class AuditError(ServingError):
    """The audit trail cannot be opened, written, shipped or read; nothing may be answered without it."""


class _Event(Contract, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the events; `kind` in the JSON names the class."""


class Prediction(_Event, frozen=True, kw_only=True, tag="prediction"):
    """A film was classified.

    Attributes:
        request_id: of the response and the log.
        key_id: public part of the API key; None in development without keys.
        protocol: that the request came over.
        bundle: digest of the bundle that answered.
        preprocessing: version, or digest, of the preprocessing.
        input_hmac: keyed HMAC-SHA256 of the bytes that came in.
        thresholds: of the operating points, by their key.
        refer_below: confidence under which a film is referred.
        distance_limit: above which a film is out of distribution.
        probabilities: calibrated, by finding.
        decision: finding that the model chose.
        confidence: its calibrated probability.
        distance: from the training films.
        referred: why a radiologist must look first; empty when nothing asks for it.
        prediction_set: findings that the film may have; None where the bundle has no limits for it, and in records of
            before it was recorded.
    """

    request_id: RequestId
    key_id: KeyId | None
    protocol: Protocol
    bundle: Hex256
    preprocessing: Version
    input_hmac: Hex256
    thresholds: dict[Name, float]
    refer_below: float
    distance_limit: float
    probabilities: dict[Name, float]
    decision: Name
    confidence: float
    distance: float
    referred: tuple[Code, ...] = ()
    prediction_set: tuple[Name, ...] | None = None


class Refusal(_Event, frozen=True, kw_only=True, tag="refusal"):
    """A film was not classified; `code` is one of `cxr.errors.REJECTION_CODES` or of the service's problems."""

    request_id: RequestId
    key_id: KeyId | None
    protocol: Protocol
    bundle: Hex256
    preprocessing: Version
    input_hmac: Hex256
    code: Code


class KeyUse(_Event, frozen=True, kw_only=True, tag="key"):
    """A key was used for more than predictions, or a request was denied.

    Attributes:
        request_id: of the response and the log.
        key_id: None when no valid key was given.
        outcome: `admitted`, or the code of the denial.
        scope: that the request needed.
    """

    request_id: RequestId
    key_id: KeyId | None
    outcome: Code
    scope: Code | None = None


class DenialsOmitted(_Event, frozen=True, kw_only=True, tag="denials"):
    """More requests were denied in a minute than get a record each; none of them was answered.

    Attributes:
        key_id: of the key that they brought; None when no known key was given.
        since: of the first of them.
        omitted: how many have no record of their own.
    """

    key_id: KeyId | None
    since: datetime
    omitted: int


class ModelChange(_Event, frozen=True, kw_only=True, tag="model"):
    """A bundle was loaded, or was to be and could not.

    Attributes:
        action: what happened.
        bundle: digest; None when it could not be read.
        preprocessing: version, or digest, of the preprocessing.
        thresholds: of the operating points, by their key.
        request_id, key_id: of the request that asked for it; None at start-up or by signal.
        code: why it was refused.
    """

    action: Literal["loaded", "refused"]
    bundle: Hex256 | None = None
    preprocessing: Version | None = None
    thresholds: dict[Name, float] | None = None
    request_id: RequestId | None = None
    key_id: KeyId | None = None
    code: Code | None = None


class ServiceChange(_Event, frozen=True, kw_only=True, tag="service"):
    """The process started or is about to end; `version` is that of cxr."""

    action: Literal["started", "stopped"]
    version: Version


class SegmentOpened(_Event, frozen=True, kw_only=True, tag="opened"):
    """First record of a segment.

    Attributes:
        format: version of the lines.
        trail: random identity of the trail; replicas have one each.
        segment: number of this segment, from 1.
        key: fingerprint of the chain key, see `Chain.fingerprint`.
    """

    format: int
    trail: TrailId
    segment: int
    key: TrailId


class SegmentSealed(_Event, frozen=True, kw_only=True, tag="sealed"):
    """Last record of a segment that is complete; `records` counts all of it, this one included."""

    segment: int
    records: int


class Recovered(_Event, frozen=True, kw_only=True, tag="recovered"):
    """The trail did not end as it should when it was opened; this is all that is known of it.

    Attributes:
        segment: that was damaged or absent.
        cut_bytes: taken off its end, because they were no whole, valid records.
        cut_sha256: of those bytes, which lie beside the segments in `damaged/`; None when there were none.
        lost_after: last sequence that is still there, when the head file proves that there were later ones; None when
            nothing that was acknowledged is known to be lost.
        lost_until: last sequence that is known to have been there.
    """

    segment: int
    cut_bytes: int
    cut_sha256: Hex256 | None = None
    lost_after: int | None = None
    lost_until: int | None = None


class Interrupted(_Event, frozen=True, kw_only=True, tag="interrupted"):
    """The trail could not be written for a while.

    Attributes:
        since: of the first event that was refused.
        refused: events that were refused; none of them was answered.
        errno: of the operating system, last seen.
    """

    since: datetime
    refused: int
    errno: int


class SegmentsRemoved(_Event, frozen=True, kw_only=True, tag="removed"):
    """Local copies of segments are no longer kept, because the bucket has them under lock.

    Attributes:
        segment: last one that is no longer kept; none before it is.
        sequence, digest: of its last record.
    """

    segment: int
    sequence: int
    digest: Hex256


AuditEvent = (
    Prediction
    | Refusal
    | KeyUse
    | DenialsOmitted
    | ModelChange
    | ServiceChange
    | SegmentOpened
    | SegmentSealed
    | Recovered
    | Interrupted
    | SegmentsRemoved
)


KINDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(AuditEvent))
"""Every `kind` that an event's JSON can have."""


class AuditRecord(Contract, frozen=True, kw_only=True):
    """One line of the trail.

    Attributes:
        sequence: from 1, without gaps, across segments.
        time: of this machine's clock when it was written; may step back, the sequence does not.
        previous: digest of the record before it.
        event: what happened.
        digest: see `cxr.serving.audit.chain`.
    """

    sequence: int
    time: datetime
    previous: Hex256
    event: AuditEvent
    digest: Hex256


class Head(Contract, frozen=True, kw_only=True):
    """The end of a trail at some time: kept elsewhere, it shows when what came before it is gone or replaced."""

    trail: TrailId
    sequence: int
    digest: Hex256

    def __str__(self) -> str:
        return f"{self.trail}:{self.sequence}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read what `str` wrote.

        Raises:
            AuditError: the text is no head.
        """
        found = _HEAD.fullmatch(text.strip())
        if found is None:
            raise AuditError(
                f"a head must read TRAIL:SEQUENCE:DIGEST as `cxr audit head` prints it, has {len(text)} characters of "
                "another form"
            )
        return cls(trail=found["trail"], sequence=int(found["sequence"]), digest=found["digest"])


def checked(event: AuditEvent) -> bytes:
    """The JSON of an event.

    Raises:
        AuditError: a field is not of its type; the value is not quoted, since it may identify somebody.
    """
    data = msgspec.json.encode(event)
    try:
        _EVENTS.decode(data)
    except msgspec.ValidationError as error:
        field = re.search(r"`\$[^`]*`", str(error))
        raise AuditError(
            f"an audit event must fit its contract, {type(event).__name__} does not at {field[0] if field else '$'}"
        ) from None
    return data


_HEAD = re.compile(r"(?P<trail>[0-9a-f]{16}):(?P<sequence>[0-9]{1,18}):(?P<digest>[0-9a-f]{64})")
_EVENTS: msgspec.json.Decoder[AuditEvent] = msgspec.json.Decoder(AuditEvent)
