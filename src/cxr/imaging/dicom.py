"""DICOM to grey values with air dark, and the few header facts that may leave it. The only module that imports pydicom.

Order of the transforms is the standard's (PS3.3 C.11, PS3.4 N.2): modality LUT, VOI LUT or window, then MONOCHROME1.
Header facts are taken as raw bytes: nothing is converted, so that no warning or log line of a library can hold a value.
"""

import io
from collections.abc import Callable
from hashlib import sha256
from hmac import new as hmac
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from cxr.errors import RejectedFilm
from cxr.imaging import header
from cxr.imaging.header import Facts
from cxr.imaging.polarity import negated

# Invalid values are met in every archive. Reported, they would put header values into logs; and a switch that is set
# and reset around each call is not safe in a server's threads.
config.settings.reading_validation_mode = config.IGNORE

_J2K_START = b"\xff\x4f\xff\x51"
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

Grey = npt.NDArray[np.generic]


def read_dicom(data: bytes, *, key: bytes | None, max_pixels: int) -> tuple[Grey, Facts]:
    """Decode one DICOM file.

    The image is left as it is stored: neither turned nor mirrored to its Patient Orientation.

    Args:
        data: the whole file.
        key: secret of the pseudonyms; without it patient and study are None.
        max_pixels: more rows x columns are refused before anything is decoded.

    Returns:
        uint8, uint16 or float32 [height, width], air dark if the header is right, and the facts.

    Raises:
        RejectedFilm: for every file that cannot be used, and for no other reason does it fail.
    """
    dataset = _guarded(_open, data)
    facts = _guarded(_facts, dataset, key)
    if not any(name in dataset for name in _PIXEL_DATA):
        raise RejectedFilm("no_pixels", "the DICOM file must hold an image, has only a header; export it with pixels")
    _guarded(_check_size, dataset, max_pixels)
    return _guarded(_display, dataset, _guarded(_decoded, dataset, max_pixels)), facts


def pseudonym(key: bytes, kind: str, identifier: str) -> str:
    """Keyed pseudonym of an identifier, 128 bits in hexadecimal: HMAC-SHA256, one way without the key.

    Args:
        key: secret; the same key gives the same pseudonym, another key an unrelated one.
        kind: "patient" or "study", so that equal identifiers of two kinds do not meet.
        identifier: as the header has it.
    """
    return hmac(key, f"{kind}\0{identifier}".encode(), sha256).hexdigest()[:32]


def _guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call into pydicom and its decoders: on untrusted bytes any failure of theirs is a verdict on the bytes.

    Their exceptions quote header values, so that none of them may stay behind the verdict in a traceback.
    """
    try:
        return function(*arguments)
    except RejectedFilm:
        raise
    except NotImplementedError:
        code, reason = "unsupported_encoding", "the DICOM encoding is not supported; export it uncompressed"
    except Exception as error:  # noqa: BLE001 - becomes a verdict below
        code = "corrupt"
        reason = f"the DICOM file is damaged or incomplete ({type(error).__name__}); export it again"
    raise RejectedFilm(code, reason)


def _open(data: bytes) -> Dataset:
    has_preamble = data[128:132] == b"DICM"
    if _syntax(data, 132 if has_preamble else 0) == DeflatedExplicitVRLittleEndian:
        raise RejectedFilm("unsupported_encoding", "a deflated DICOM file is not accepted; export it uncompressed")
    try:
        dataset = dcmread(io.BytesIO(data), force=not has_preamble)
    except InvalidDicomError as error:
        raise RejectedFilm("not_an_image", "the file must be DICOM, PNG or JPEG, is neither") from error
    if not has_preamble and "Rows" not in dataset and "Modality" not in dataset:
        raise RejectedFilm("not_an_image", "the file must be DICOM, PNG or JPEG, is neither")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def _syntax(data: bytes, start: int) -> str:
    """The transfer syntax, read before the rest of the file: a few deflated bytes may inflate to any number."""
    stream = io.BytesIO(data)
    stream.seek(start)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    return _text(meta, "TransferSyntaxUID")


def _facts(dataset: Dataset, key: bytes | None) -> Facts:
    modality = header.stated_modality(_text(dataset, "Modality"))
    header.check_body_part(_text(dataset, "BodyPartExamined") or _meaning(dataset, "AnatomicRegionSequence"))
    views = (
        header.stated_view(_text(dataset, "ViewPosition"), field="View Position"),
        header.stated_view(_meaning(dataset, "ViewCodeSequence"), field="View Code"),
        header.view_in_position(_text(dataset, "PatientPosition")),
        header.view_in_text(_text(dataset, "SeriesDescription"), field="the series description"),
    )
    header.check_orientation(_text(dataset, "PatientOrientation"))
    if _text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING":
        reason = "the image must be FOR PRESENTATION, is FOR PROCESSING (raw detector values); export the processed one"
        raise RejectedFilm("unsupported_encoding", reason)
    return Facts(
        view=next((view for view in views if view is not None), None),
        sex=header.stated_sex(_text(dataset, "PatientSex")),
        age=header.stated_age(_text(dataset, "PatientAge")),
        modality=modality,
        patient_id=_hidden(key, "patient", _text(dataset, "PatientID")),
        study_id=_hidden(key, "study", _text(dataset, "StudyInstanceUID")),
    )


def _hidden(key: bytes | None, kind: str, identifier: str) -> str | None:
    if key is None or header.is_placeholder(identifier):
        return None
    return pseudonym(key, kind, identifier)


def _text(dataset: Dataset, name: str) -> str:
    """The raw bytes of an element as text, "" when there is none."""
    if name not in dataset:
        return ""
    value = dataset.get_item(Tag(name)).value
    text = value.decode("latin-1") if isinstance(value, bytes) else ""
    return text.strip(" \0\t\r\n")


def _meaning(dataset: Dataset, sequence: str) -> str:
    """Code Meaning of the first item of a code sequence, "" when there is none."""
    try:
        item = dataset[sequence].value[0]
        return _text(item, "CodeMeaning")
    except Exception:  # noqa: BLE001 - a damaged optional sequence states nothing
        return ""


def _check_size(dataset: Dataset, max_pixels: int) -> None:
    _check_area(int(dataset.Rows) * int(dataset.Columns), max_pixels)
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise RejectedFilm("unsupported_encoding", "the file must hold one image, has several frames")


def _decoded(dataset: Dataset, max_pixels: int) -> npt.NDArray[Any]:
    """Stored values [rows, columns], or [rows, columns, 3] for colour."""
    syntax = dataset.file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    if not decoder.is_available:
        raise NotImplementedError
    if syntax.is_encapsulated:
        _check_area(_codestream_area(get_frame(dataset.PixelData, 0, number_of_frames=1)), max_pixels)
    plugin = "pillow" if syntax == JPEGBaseline8Bit else ""
    pixels, meaning = decoder.as_array(dataset, index=0, decoding_plugin=plugin)
    dataset.PhotometricInterpretation = str(meaning["photometric_interpretation"])
    decoded: npt.NDArray[Any] = pixels
    return decoded


def _codestream_area(frame: bytes) -> int:
    """Pixels that a JPEG, JPEG-LS or JPEG 2000 stream says to hold, whatever the header says; 0 for others."""
    start = frame.find(_J2K_START, 0, 4096)
    if start >= 0:
        return int.from_bytes(frame[start + 8 : start + 12], "big") * int.from_bytes(
            frame[start + 12 : start + 16], "big"
        )
    at = frame.find(b"\xff\xd8", 0, 4096)
    while 0 <= at < len(frame) - 9:
        marker = frame[at + 1]
        if marker in _FRAME_MARKERS:
            return int.from_bytes(frame[at + 5 : at + 7], "big") * int.from_bytes(frame[at + 7 : at + 9], "big")
        at += 2 if marker in (0xD8, 0xFF) else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return 0


def _check_area(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise RejectedFilm("too_large", f"the film must have at most {max_pixels} pixels, has {pixels}")


def _display(dataset: Dataset, stored: npt.NDArray[Any]) -> Grey:
    """Stored values to grey values with air dark."""
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        return _luminance(apply_color_lut(stored, dataset))
    if stored.ndim == 3:
        return _luminance(stored)
    grey = _narrowed(_windowed(dataset, apply_modality_lut(stored, dataset)))
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        raise ValueError
    if photometric == "MONOCHROME1":
        grey = negated(grey)
    return _padded(dataset, stored, grey)


def _windowed(dataset: Dataset, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values through the VOI LUT or the window, unless it would show next to nothing."""
    if "VOILUTSequence" not in dataset and "WindowCenter" not in dataset:
        return values
    windowed: npt.NDArray[Any] = apply_voi_lut(values, dataset, index=0)
    low, high = np.percentile(windowed[::4, ::4], [1, 99])
    return windowed if low < high else values


def _luminance(colour: npt.NDArray[Any]) -> npt.NDArray[Any]:
    grey = colour[..., :3] @ np.array([0.299, 0.587, 0.114])
    narrowed: npt.NDArray[Any] = (grey + 0.5).astype(np.uint8) if colour.dtype == np.uint8 else grey.astype(np.float32)
    return narrowed


def _narrowed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values as uint8, uint16 or float32."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "iu":
        low = int(values.min())
        if int(values.max()) - low < 2**16:
            return (values.astype(np.int64) - low).astype(np.uint16)
    return values.astype(np.float32)


def _padded(dataset: Dataset, stored: npt.NDArray[Any], grey: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Paint what lies outside the image (Pixel Padding Value) as dark as the darkest pixel inside."""
    if "PixelPaddingValue" not in dataset:
        return grey
    ends = [int(dataset.PixelPaddingValue), int(dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue))]
    outside = (stored >= min(ends)) & (stored <= max(ends))
    if outside.all() or not outside.any():
        return grey
    grey = grey.copy()
    grey[outside] = grey[~outside].min()
    return grey
