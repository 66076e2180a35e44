"""What a compressed picture says of itself before it is decoded: JPEG and JPEG-LS (T.81, T.87), JPEG 2000 (T.800).

Read as decoders read it, past comments and rubbish: what stands in those must not speak for the picture.
"""

from dataclasses import dataclass
from typing import Literal

_JPEG, _JPEG_2000, _JP2 = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xDE, 0xF7} - {0xC4, 0xC8, 0xCC})
"""Of a frame, and of a hierarchy of them (DHP), by whose size a decoder takes its memory."""
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_MOST_PARTS = 4096
"""Segments or boxes before the size; pictures have tens."""


@dataclass(frozen=True, kw_only=True)
class Codestream:
    """A compressed picture.

    Attributes:
        kind: "jpeg" also of JPEG-LS.
        pixels: height x width.
        samples: of one pixel.
        sample_bytes: that one sample takes when it is decoded.
    """

    kind: Literal["jpeg", "jpeg2000"]
    pixels: int
    samples: int
    sample_bytes: int


def codestream(data: bytes) -> Codestream | None:
    """What the stream says to hold; None when it is none of these.

    Raises:
        ValueError: it is one of these and does not say.
    """
    if data.startswith((_JPEG_2000, _JP2)):
        stream = _jpeg_2000(data)
    elif data.startswith(_JPEG):
        stream = _jpeg(data)
    else:
        return None
    if stream.pixels == 0:  # T.81 lets a JPEG state its height behind its pixels; nobody does, and it could be any
        raise ValueError("a compressed picture must state its size at its start, states none")
    return stream


def _jpeg(data: bytes) -> Codestream:
    at = _frame_header(data)
    pixels = _number(data, at + 5, 2) * _number(data, at + 7, 2)
    return Codestream(kind="jpeg", pixels=pixels, samples=data[at + 9], sample_bytes=-(-data[at + 4] // 8))


def _frame_header(data: bytes) -> int:
    at = 0
    for _ in range(_MOST_PARTS):
        if not 0 <= at < len(data) - 9:
            break
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:
            at = data.find(b"\xff", at + 1)
        elif marker in _FRAME_MARKERS:
            return at
        else:
            at += 2 if marker in _WITHOUT_LENGTH else 2 + _number(data, at + 2, 2)
    raise ValueError("a JPEG must have a frame header near its start, has none")


def _jpeg_2000(data: bytes) -> Codestream:
    at = _boxed(data) if data.startswith(_JP2) else 0
    if not data.startswith(_JPEG_2000, at):
        raise ValueError("a JPEG 2000 codestream must begin with its size, begins with something else")
    pixels = _number(data, at + 8, 4) * _number(data, at + 12, 4)
    bits = (_number(data, at + 42, 1) & 0x7F) + 1
    return Codestream(kind="jpeg2000", pixels=pixels, samples=_number(data, at + 40, 2), sample_bytes=-(-bits // 8))


def _boxed(data: bytes) -> int:
    """Where the codestream of a JP2 file begins, which DICOM forbids and archives have."""
    at = 0
    for _ in range(_MOST_PARTS):
        length, header = _number(data, at, 4), 8
        if length == 1:
            length, header = _number(data, at + 8, 8), 16
        if data[at + 4 : at + 8] == b"jp2c":
            return at + header
        at += max(length, header)
    raise ValueError("a JP2 file must have a codestream near its start, has none")


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
