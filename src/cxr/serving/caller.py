"""Who asks: set by the transport once a request is authenticated, read wherever an answer is recorded."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Protocol = Literal["rest", "grpc"]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """One authenticated request.

    Attributes:
        request_id: of the response, the log and the audit trail.
        key_id: public part of the API key; None in development without keys.
        protocol: that it came over.
    """

    request_id: str
    key_id: str | None
    protocol: Protocol


CALLER: ContextVar[Caller] = ContextVar("cxr_caller")
