"""Any file that claims to be a chest film, to grey values with air dark, or to the reason why not.

The bytes decide what a file is; its name and its declared type are not asked. DICOM, PNG and JPEG are read. Whatever
the bytes are, the answer is a `Reading` or a `RejectedFilm`.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.errors import RejectedFilm
from cxr.imaging.header import Facts
from cxr.imaging.polarity import is_negative, negated
from cxr.imaging.preprocess import percentiles
from cxr.imaging.strips import strips

MAX_BYTES = 128 * 2**20
"""Largest file read, unless the caller says otherwise; an uncompressed 43 x 35 cm film at 0.1 mm has 30 MB."""

MAX_PIXELS = 50_000_000
"""Largest picture decoded, unless the caller says otherwise; the same film has 15 million."""

BYTES_PER_PIXEL = 12
"""Memory that decoding may take beside the file, for each pixel that is allowed: 600 MB for a film of `MAX_PIXELS`.
DICOM that takes more for a pixel (colour of 32 bits, colour in JPEG 2000) must have fewer of them."""

MIN_SIDE = 64
"""Shortest side of a usable film, pixels, unless the caller asks for more: the least that `Preprocessing.stored_side`
may keep. At 6 mm of the patient per pixel little of a lung's texture is left."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_DICOM_WITHOUT_PREAMBLE = (b"\x02\x00\x00\x00", b"\x08\x00")
_OTHER_PICTURES = (
    *(
        b"GIF8",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"RIFF",
        b"\0\0\0\x0cjP  ",
        b"\xff\x4f\xff\x51",
        b"\0\0\0\x0cJXL ",
        b"\xff\x0a",
    ),
    *(b"8BPS", b"\0\0\x01\0", b"DDS ", b"P5", b"P6", b"\x1f\x8b", b"%PDF"),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112

Grey = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """One decoded film.

    Attributes:
        pixels: uint8, uint16 or float32 [height, width], air dark and bone bright. Text burnt into the picture (a name,
            a date) is still in it: pixels are not de-identified here.
        kind: what the bytes are.
        facts: what the header says, as far as the contract has a field for it; all unknown for PNG and JPEG.
        polarity_corrected: the pixels were plainly a negative although the header, or the lack of one, said otherwise,
            and have been inverted.
    """

    pixels: Grey
    kind: Literal["dicom", "png", "jpeg"]
    facts: Facts
    polarity_corrected: bool


def read_film(
    data: bytes | Path,
    *,
    key: bytes | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
) -> Reading:
    """Decode a film and check that it can be one.

    A header is believed except on polarity: a film that looks like a negative beyond doubt
    (`cxr.imaging.polarity.CERTAIN`) is inverted, since MONOCHROME1 is often written beside positive pixels.

    Args:
        data: the file's bytes, or its path.
        key: secret for the pseudonyms of patient and study (HMAC-SHA256); without it both are None.
        max_bytes: larger files are refused unread.
        max_pixels: larger pictures are refused before they are decoded, and DICOM that would take more than
            `BYTES_PER_PIXEL` times as many bytes of memory.
        min_side: pictures with a shorter side are refused, pixels.

    Raises:
        RejectedFilm: with a code of `cxr.errors.REJECTION_CODES`. No other exception leaves here, whatever the bytes.
    """
    content = film_bytes(data, max_bytes=max_bytes) if isinstance(data, Path) else _of_allowed_size(data, max_bytes)
    kind = _kind(content)
    facts = Facts()
    if kind == "dicom":
        from cxr.imaging.dicom import read_dicom  # pydicom is paid for by those who read DICOM

        max_memory = BYTES_PER_PIXEL * max_pixels
        pixels, facts = read_dicom(content, key=key, max_pixels=max_pixels, max_memory=max_memory)
    else:
        pixels = _raster(content, kind, max_pixels)
    _check(pixels, min_side)
    negative = is_negative(pixels)
    return Reading(pixels=negated(pixels) if negative else pixels, kind=kind, facts=facts, polarity_corrected=negative)


def film_bytes(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file, for `read_film`.

    Raises:
        RejectedFilm: `unreadable`, `empty_file` or `too_large`; a larger file is not read.
    """
    try:
        with path.open("rb") as stream:
            return _of_allowed_size(stream.read(max_bytes + 1), max_bytes)
    except OSError as error:
        raise RejectedFilm("unreadable", f"the file must be readable: {error.strerror}") from error


def _of_allowed_size(content: bytes, max_bytes: int) -> bytes:
    if not content:
        raise RejectedFilm("empty_file", "the file must hold a film, has no bytes; copy it again")
    if len(content) > max_bytes:
        raise RejectedFilm("too_large", f"the file must have at most {max_bytes} bytes, has more")
    return content


def _kind(content: bytes) -> Literal["dicom", "png", "jpeg"]:
    if content[128:132] == b"DICM":
        return "dicom"
    if content.startswith(_PNG):
        return "png"
    if content.startswith(_JPEG):
        return "jpeg"
    if content.startswith(_DICOM_WITHOUT_PREAMBLE):
        return "dicom"
    if content.startswith(_OTHER_PICTURES):
        raise RejectedFilm(
            "unsupported_encoding", "the file must be DICOM, PNG or JPEG, is of another format; convert it"
        )
    raise RejectedFilm("not_an_image", "the file must be DICOM, PNG or JPEG, is neither")


def _raster(content: bytes, kind: str, max_pixels: int) -> Grey:
    try:
        with Image.open(io.BytesIO(content), formats=(kind.upper(),)) as picture:
            if picture.width * picture.height > max_pixels:
                raise _too_large(picture.width * picture.height, max_pixels)
            return _grey(_upright(picture))
    except RejectedFilm:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(None, max_pixels) from error
    except Exception as error:  # on untrusted bytes any failure of a decoder is a verdict on the bytes
        reason = f"the {kind.upper()} file is damaged or incomplete ({type(error).__name__}); export it again"
        raise RejectedFilm("corrupt", reason) from error


def _too_large(pixels: int | None, max_pixels: int) -> RejectedFilm:
    return RejectedFilm("too_large", f"the film must have at most {max_pixels} pixels, has {pixels or 'far more'}")


def _upright(picture: Image.Image) -> Image.Image:
    picture.load()
    turn = _TURNS.get(picture.getexif().get(_EXIF_ORIENTATION, 1))
    return picture if turn is None else picture.transpose(turn)


def _grey(picture: Image.Image) -> Grey:
    """Grey values of any mode of PIL: 8 bits stay 8, 16 stay 16; colour becomes luminance, transparency black."""
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        values = np.asarray(picture)
        fits = values.itemsize == 2 or (values.min() >= 0 and values.max() < 2**16)
        return values.astype(np.uint16 if fits else np.float32, copy=False)
    boxes = ((0, rows.start, picture.width, rows.stop) for rows in strips(picture.height, picture.width))
    return np.concatenate([np.asarray(_eight_bits(picture.crop(box))) for box in boxes])


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode in ("P", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode in ("LA", "RGBA", "La", "RGBa"):
        straight = picture.convert("RGBA")
        colour, alpha = straight.convert("RGB").convert("L"), straight.getchannel("A")
        return Image.composite(colour, Image.new("L", picture.size), alpha)
    if picture.mode not in ("L", "1"):
        picture = picture.convert("RGB")
    return picture if picture.mode == "L" else picture.convert("L")


def _check(pixels: npt.NDArray[Any], min_side: int) -> None:
    height, width = pixels.shape
    if min(height, width) < min_side:
        raise RejectedFilm(
            "too_small", f"the short side must be at least {min_side} pixels, the film is {width} x {height}"
        )
    step = max(1, min(height, width) // 256)
    shown, shares = pixels[::step, ::step], (1, 99)
    low, high = percentiles(shown, shares) if shown.dtype == np.uint8 else np.percentile(shown, shares)
    if low == high:
        raise RejectedFilm("constant", "the film must show something; nearly all of its pixels have one value")
