"""Every answer of the service that is not the one asked for, and the one shape that all of them have.

A problem is for the caller: its code for programs, its reason and what to do for people. None of it may quote what a
client sent, since that may identify a patient, nor say how the service is built.
"""

import logging
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from cxr.contracts.files import Contract
from cxr.errors import RejectedFilm

logger = logging.getLogger(__name__)

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ProblemBody(Contract, frozen=True, kw_only=True):
    """The body of every error response.

    Attributes:
        request_id: to be given when asking about it; the same as in the log, the audit trail and `X-Request-Id`.
        code: machine-readable.
        reason: what is wrong, for a person.
        what_to_do: about it, for a person.
    """

    request_id: str
    code: str
    reason: str
    what_to_do: str


class Problem(Exception):  # noqa: N818 - an answer, not a failure
    """An answer with a status of 400 or more.

    Attributes:
        code: machine-readable, one of a fixed set.
        status: of HTTP.
        reason: what is wrong, for a person.
        what_to_do: about it, for a person.
        headers: that the response has besides the usual ones.
    """

    def __init__(
        self, code: str, status: int, reason: str, what_to_do: str, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        super().__init__(code, status, reason, what_to_do)
        self.code = code
        self.status = status
        self.reason = reason
        self.what_to_do = what_to_do
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.reason}"

    def body(self, request_id: str) -> bytes:
        """The JSON of a `ProblemBody`."""
        return msgspec.json.encode(
            ProblemBody(request_id=request_id, code=self.code, reason=self.reason, what_to_do=self.what_to_do)
        )


class Unauthenticated(Problem):
    """No key, or none that is known, or one that is no longer valid.

    Attributes:
        key_id: of the key whose secret was right, and which is expired or revoked; None otherwise.
    """

    def __init__(self, reason: str = "a valid API key is needed", *, key_id: str | None = None) -> None:
        super().__init__(
            "unauthenticated",
            401,
            reason,
            "Send a valid key in the header X-API-Key, or as Authorization: Bearer; an administrator makes one with "
            "`cxr keys create`.",
            {"WWW-Authenticate": 'Bearer realm="cxr"'},
        )
        self.key_id = key_id


class Forbidden(Problem):
    """The key is valid and lacks the scope.

    Attributes:
        key_id: of the key.
    """

    def __init__(self, scope: str, *, key_id: str) -> None:
        super().__init__(
            "forbidden", 403, f"the API key lacks the scope '{scope}'", "Use a key that an administrator made with it."
        )
        self.key_id = key_id


class RateLimited(Problem):
    """The key asks more often than it may.

    Attributes:
        retry_after: seconds until it may ask again.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "rate_limited",
            429,
            "the API key has used up its rate",
            "Try again after the seconds that Retry-After says.",
            {"Retry-After": _whole_seconds(retry_after)},
        )
        self.retry_after = retry_after


class BodyTooLarge(Problem):
    """The request has more bytes than are accepted."""

    def __init__(self, max_bytes: int) -> None:
        remedy = REMEDIES["too_large"]
        super().__init__(
            "too_large", remedy.status, f"the request must have at most {max_bytes} bytes", remedy.what_to_do
        )


class Overloaded(Problem):
    """Too much is under way; what is there goes on.

    Attributes:
        retry_after: seconds after which there may be room.
    """

    def __init__(self, reason: str, *, retry_after: float) -> None:
        super().__init__(
            "overloaded",
            503,
            reason,
            "Try again after the seconds that Retry-After says.",
            {"Retry-After": _whole_seconds(retry_after)},
        )
        self.retry_after = retry_after


class TooSlow(Problem):
    """The request took longer than it may: in arriving (408), or in being answered (504)."""

    def __init__(self, limit: float, *, arrived: bool) -> None:
        if arrived:
            code, status, reason = "answer_timeout", 504, f"there was no answer within {limit:g} s"
        else:
            code, status, reason = "request_timeout", 408, f"the request must arrive within {limit:g} s"
        super().__init__(code, status, reason, "Send the request again; if this goes on, tell the operator.")


def _whole_seconds(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))


class Remedy(NamedTuple):
    """What a refusal of a film means to a caller."""

    status: int
    what_to_do: str


REMEDIES: Mapping[str, Remedy] = MappingProxyType(
    {
        "empty_file": Remedy(422, "Send the whole file of the film; the one that arrived has no bytes."),
        "not_an_image": Remedy(415, "Send a frontal chest radiograph as DICOM, PNG or JPEG."),
        "corrupt": Remedy(422, "Export the film again and send the new file."),
        "too_small": Remedy(422, "Send the film in its original size, not a thumbnail."),
        "too_large": Remedy(413, "Send one film, in its original size or smaller."),
        "constant": Remedy(422, "Check the exposure and the export; the picture has no content."),
        "no_pixels": Remedy(422, "Export the DICOM object with its pixels; this one has only a header."),
        "unsupported_encoding": Remedy(415, "Export the film as a single image: uncompressed DICOM, PNG or JPEG."),
        "wrong_modality": Remedy(422, "Send a projection radiograph (modality CR or DX)."),
        "wrong_body_part": Remedy(422, "Send a film of the chest."),
        "wrong_view": Remedy(422, "Send a frontal film (PA or AP), neither lateral nor oblique."),
        "rotated": Remedy(422, "Turn the film upright, head at the top, and send it again."),
        "not_a_chest_film": Remedy(
            422, "Send a frontal film of the whole chest, without a frame, text or other pictures."
        ),
        "unreadable": Remedy(422, "Check that the file can be opened, and send it again."),
        "unknown_label": Remedy(422, "Use a label that the model knows."),
        "conflicting_label": Remedy(422, "Give the film one label."),
    }
)
"""Status and advice for every code of `cxr.errors.REJECTION_CODES`."""


def refusal(rejected: RejectedFilm) -> Problem:
    """The answer for a film that cannot be used."""
    remedy = REMEDIES[rejected.code]
    return Problem(rejected.code, remedy.status, rejected.reason, remedy.what_to_do)


class _Withheld(Exception):  # noqa: N818 - stands in for one
    """In the log in place of an exception whose text may quote what a client sent."""


def unexpected(error: BaseException, request_id: str) -> Problem:
    """The answer to a request that met a defect, which is logged: where it was raised, never the text it has."""
    kind = type(error)
    logger.error(
        "unhandled %s",
        kind.__name__,
        exc_info=(kind, _Withheld(f"text of the {kind.__name__} withheld"), error.__traceback__),
        extra={"request_id": request_id},
    )
    return Problem(
        "internal",
        500,
        "the service failed to answer",
        "Send the request again; if this goes on, tell the operator the request id.",
    )
