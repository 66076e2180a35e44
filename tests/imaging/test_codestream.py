import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxr.imaging.codestream import Codestream, codestream
from support.films import chest, encoded

FILM = chest(96, 80)
COLOUR = np.repeat(FILM[..., None], 3, axis=2)
SMALL = encoded(chest(64, 64), "JPEG2000", no_jp2=True)[:60]
"""The start of a smaller picture, to be found where a decoder does not look."""


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def with_junk(jpeg: bytes, junk: bytes) -> bytes:
    """A JPEG with something behind its first segment; Pillow still decodes it."""
    at = jpeg.index(b"\xff\xdb")
    data = jpeg[:at] + junk + jpeg[at:]
    with Image.open(io.BytesIO(data)) as picture:
        assert np.asarray(picture).size == FILM.size
    return data


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("pixels", "samples"), [(FILM, 1), (COLOUR, 3)])
def test_jpeg(pixels: np.ndarray, samples: int, progressive: bool) -> None:
    stream = codestream(encoded(pixels, "JPEG", progressive=progressive))
    assert stream == Codestream(kind="jpeg", pixels=FILM.size, samples=samples, sample_bytes=1)


def test_a_hierarchy_of_pictures_has_the_size_that_it_says_it_has() -> None:
    jpeg = encoded(FILM, "JPEG")
    stream = codestream(jpeg[:2] + segment(0xDE, struct.pack(">BHHB", 8, 4000, 3000, 1) + b"\x01\x11\x00") + jpeg[2:])
    assert stream == Codestream(kind="jpeg", pixels=12_000_000, samples=1, sample_bytes=1)


@pytest.mark.parametrize("no_jp2", [False, True])
@pytest.mark.parametrize(
    ("pixels", "samples", "sample_bytes"), [(FILM, 1, 1), (FILM.astype(np.uint16), 1, 2), (COLOUR, 3, 1)]
)
def test_jpeg_2000(pixels: np.ndarray, samples: int, sample_bytes: int, no_jp2: bool) -> None:
    stream = codestream(encoded(pixels, "JPEG2000", no_jp2=no_jp2))
    assert stream == Codestream(kind="jpeg2000", pixels=FILM.size, samples=samples, sample_bytes=sample_bytes)


@pytest.mark.parametrize(
    "junk",
    [
        segment(0xFE, SMALL),
        segment(0xFE, encoded(chest(64, 64), "JPEG")),
        segment(0xE1, b"") + segment(0xFE, b"\xff\xc0" * 40),
        b"\xff\xff\xff",
        b"rubbish",
        b"\xff\xd0",
    ],
    ids=["a JPEG 2000 in a comment", "a JPEG in a comment", "markers in a comment", "fill", "rubbish", "restart"],
)
def test_a_jpeg_is_asked_where_a_decoder_asks_it(junk: bytes) -> None:
    stream = codestream(with_junk(encoded(FILM, "JPEG"), junk))
    assert stream is not None
    assert (stream.kind, stream.pixels) == ("jpeg", FILM.size)


def test_a_jp2_file_is_asked_where_a_decoder_asks_it() -> None:
    data = encoded(FILM, "JPEG2000")
    at = data.index(b"jp2c") - 4
    data = data[:at] + struct.pack(">I4s", 8 + len(SMALL), b"free") + SMALL + data[at:]
    with Image.open(io.BytesIO(data)) as picture:
        assert np.asarray(picture).size == FILM.size
    stream = codestream(data)
    assert stream is not None
    assert stream.pixels == FILM.size


@pytest.mark.parametrize("data", [b"", b"\0" * 64, encoded(FILM), b"\2\0\0\0" + b"\0" * 60])
def test_other_bytes_are_none_of_these(data: bytes) -> None:
    assert codestream(data) is None


def test_a_height_behind_the_pixels_is_refused() -> None:
    data = encoded(FILM, "JPEG")
    at = data.index(b"\xff\xc0") + 5
    with pytest.raises(ValueError, match="size at its start"):
        codestream(data[:at] + b"\0\0" + data[at + 2 :])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff\xd0" * 2**16,
        b"\xff\x4f\xff\x51",
        encoded(FILM, "JPEG2000")[:40],
        encoded(FILM, "JPEG2000")[:12] + struct.pack(">I4s", 8, b"free") * 2**16,
    ],
)
def test_what_does_not_state_a_size_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="must"):
        codestream(data)


@given(st.sampled_from([b"\xff\xd8", b"\xff\x4f\xff\x51", encoded(FILM, "JPEG2000")[:12]]), st.binary(max_size=200))
def test_any_bytes_give_a_size_or_none(start: bytes, data: bytes) -> None:
    try:
        stream = codestream(start + data)
    except ValueError:
        return
    assert stream is not None
    assert stream.pixels > 0
