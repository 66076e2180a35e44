"""The prediction event: what the predictor tells the drift sidecar of one film, as a CloudEvent (version 1.0).

It holds no pixels, no file names and no identifiers of patients; the request id is the service's own.
The HTTP binding has three forms, all of which a receiver must read: structured (one JSON object), batched (an array of
them) and binary (attributes as `ce-` headers, data as the body).
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from cxr.contracts.files import Contract
from cxr.errors import ContractError

EVENT_TYPE: Final = "org.cxr.prediction.v1"
EVENT_SOURCE = "urn:cxr:predictor"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = "application/json"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_ROUNDING = 1e-3
_PLACE = frozenset("$._abcdefghijklmnopqrstuvwxyz")


class PredictionEvent(Contract, frozen=True, kw_only=True):
    """One film that was classified.

    Attributes:
        request_id: of the request that the film came with; a request may bring several films.
        time: when it was answered, with its time zone.
        bundle: digest of the bundle that answered.
        embedding: little-endian float32, see `vector`; base64 in JSON.
        probabilities: calibrated, by finding.
        decision: the most probable finding.
        confidence: its probability.
        distance: from the training films.
        statistics: in the order of `cxr.drift.statistics.STATISTICS`.
    """

    request_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}\Z")]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    bundle: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    embedding: Annotated[bytes, msgspec.Meta(min_length=4, max_length=4 * 16384)]
    probabilities: Annotated[dict[_Name, _Share], msgspec.Meta(min_length=1, max_length=64)]
    decision: _Name
    confidence: _Share
    distance: Annotated[float, msgspec.Meta(ge=0)]
    statistics: Annotated[tuple[float, ...], msgspec.Meta(max_length=64)]

    @property
    def id(self) -> str:
        """The same for the same film in the same request, so that an event sent twice is known."""
        return hashlib.sha256(self.request_id.encode() + b"/" + self.embedding).hexdigest()[:32]

    def vector(self) -> npt.NDArray[np.float32]:
        """The embedding, float32 [d]."""
        return np.frombuffer(self.embedding, "<f4").astype(np.float32)


class _CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Structured JSON form; extension attributes are allowed, as the specification wants."""

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(min_length=1)]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["org.cxr.prediction.v1"]
    time: datetime | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    data: PredictionEvent


@dataclass(frozen=True, kw_only=True)
class ReceivedEvents:
    """The events of one HTTP request.

    Attributes:
        events: that are valid, in order.
        malformed: what is wrong with each of the others; holds no values of theirs.
    """

    events: tuple[PredictionEvent, ...]
    malformed: tuple[str, ...]


def encode_batch(events: Sequence[PredictionEvent]) -> bytes:
    """Body of a batch of events; its content type is `BATCH`."""
    return msgspec.json.encode([_wrap(event) for event in events])


def encode_structured(event: PredictionEvent) -> bytes:
    """Body of one event in the structured form; its content type is `STRUCTURED`."""
    return msgspec.json.encode(_wrap(event))


def encode_binary(event: PredictionEvent) -> tuple[dict[str, str], bytes]:
    """Headers and body of one event in the binary form."""
    headers = {
        "content-type": BINARY,
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-source": EVENT_SOURCE,
        "ce-type": EVENT_TYPE,
        "ce-time": event.time.isoformat(),
    }
    return headers, msgspec.json.encode(event)


def decode_events(headers: Mapping[str, str], body: bytes) -> ReceivedEvents:
    """Read a request in any of the three forms; events that are not valid do not spoil the others of a batch.

    Args:
        headers: by name in lower case.
        body: of the request.

    Raises:
        ContractError: the body is no JSON, or has none of the three forms.
    """
    events: list[PredictionEvent] = []
    malformed: list[str] = []
    for part in _split(headers, body):
        try:
            events.append(_check(msgspec.json.decode(part, type=_CloudEvent).data))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            malformed.append(_without_values(error))
    return ReceivedEvents(events=tuple(events), malformed=tuple(malformed))


def _wrap(event: PredictionEvent) -> _CloudEvent:
    return _CloudEvent(
        specversion="1.0", id=event.id, source=EVENT_SOURCE, type=EVENT_TYPE, time=event.time, data=event
    )


def _split(headers: Mapping[str, str], body: bytes) -> list[msgspec.Raw]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == BATCH:
            return msgspec.json.decode(body, type=list[msgspec.Raw])
        if kind == STRUCTURED:
            return [msgspec.json.decode(body, type=msgspec.Raw)]
        if kind == BINARY and "ce-specversion" in headers:
            return [_structured(headers, body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError("the body must be JSON in the form that its content type names") from error
    raise ContractError(
        f"events must come as {BATCH}, as {STRUCTURED}, or as {BINARY} with ce- headers (CloudEvents 1.0)"
    )


def _structured(headers: Mapping[str, str], body: bytes) -> msgspec.Raw:
    names = ("specversion", "id", "source", "type", "time")
    attributes = {name: headers[f"ce-{name}"] for name in names if f"ce-{name}" in headers}
    return msgspec.Raw(msgspec.json.encode(attributes | {"data": msgspec.json.decode(body, type=msgspec.Raw)}))


def _check(event: PredictionEvent) -> PredictionEvent:
    """Raise `ValueError` for what the types cannot say."""
    if len(event.embedding) % 4 or not np.isfinite(event.vector()).all():
        raise ValueError("the embedding must be finite float32 numbers")
    if not all(math.isfinite(value) for value in (event.distance, *event.statistics)):
        raise ValueError("distance and statistics must be finite")
    if abs(sum(event.probabilities.values()) - 1) > _ROUNDING:
        raise ValueError("the probabilities must sum to 1")
    if abs(event.probabilities.get(event.decision, -1) - event.confidence) > _ROUNDING:
        raise ValueError("the confidence must be the probability of the decision")
    return event


def _without_values(error: Exception) -> str:
    """What is wrong, fit for a log: the decoder's messages may quote a name from the body."""
    if not isinstance(error, (msgspec.DecodeError, UnicodeDecodeError, RecursionError)):
        return str(error)
    place = str(error).rpartition(" - at `")[2].rstrip("`")
    return f"malformed at {place}" if set(place) <= _PLACE else "malformed"
