"""DICOM to grey values with air dark, and the few header facts that may leave it.

This module and `cxr.imaging.dicom_display` alone import pydicom. Header facts are taken as raw bytes: nothing is
converted, so that no warning or log line of a library can hold a value.
"""

import io
from collections.abc import Callable
from hashlib import sha256
from hmac import new as hmac
from typing import Any

from pydicom import config, dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from cxr.errors import RejectedFilm
from cxr.imaging import header
from cxr.imaging.codestream import codestream
from cxr.imaging.dicom_display import Grey, grey_values
from cxr.imaging.header import Facts
from cxr.imaging.strips import Values

# Invalid values are met in every archive. Reported, they would put header values into logs; and a switch that is set
# and reset around each call is not safe in a server's threads.
config.settings.reading_validation_mode = config.IGNORE

_PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_IMAGE = 0x0028
"""Group of the elements that say what the stored values are."""
_BULK = ("SQ", "OW", "OB", "OB or OW", "US or OW")
"""Kinds of elements that may be long: sequences, whose items are counted, and bytes that stay as they are."""
_LONGEST = 4096
"""Bytes of any other of that group. pydicom makes an object of every value, of up to 200 bytes for two in the file."""
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""What an item of a sequence begins with, in either order of bytes."""
_MOST_ITEMS = 20_000
"""So many take some 30 MB; a film has a few dozen."""


def read_dicom(data: bytes, *, key: bytes | None, max_pixels: int, max_memory: int) -> tuple[Grey, Facts]:
    """Decode one DICOM file.

    The image is left as it is stored: neither turned nor mirrored to its Patient Orientation.

    Args:
        data: the whole file.
        key: secret of the pseudonyms; without it patient and study are None.
        max_pixels: more rows x columns are refused before anything is decoded.
        max_memory: so is what would take more than that many bytes to decode, beside the file itself.

    Returns:
        uint8, uint16 or float32 [height, width], air dark if the header is right, and the facts.

    Raises:
        RejectedFilm: for every file that cannot be used, and for no other reason does it fail.
    """
    dataset = _guarded(_open, data)
    facts = _guarded(_facts, dataset, key)
    if not any(name in dataset for name in _PIXEL_DATA):
        raise RejectedFilm("no_pixels", "the DICOM file must hold an image, has only a header; export it with pixels")
    _guarded(_check_size, dataset, max_pixels, max_memory)
    return _guarded(grey_values, dataset, _guarded(_decoded, dataset, max_pixels, max_memory)), facts


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
    items = sum(map(data.count, _ITEMS))
    if items > _MOST_ITEMS:
        reason = f"the DICOM file must have at most {_MOST_ITEMS} sequence items, has {items}; export it again"
        raise RejectedFilm("corrupt", reason)
    try:
        dataset = dcmread(io.BytesIO(data), force=not has_preamble)
    except InvalidDicomError as error:
        raise RejectedFilm("not_an_image", "the file must be DICOM, PNG or JPEG, is neither") from error
    if not has_preamble and "Rows" not in dataset and "Modality" not in dataset:
        raise RejectedFilm("not_an_image", "the file must be DICOM, PNG or JPEG, is neither")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    _check_lengths(dataset)
    return dataset


def _check_lengths(dataset: Dataset) -> None:
    """Refuse elements that hold thousands of values, before anything reads them as such."""
    for tag in dataset.keys():  # noqa: SIM118 - iterating over a dataset reads its elements
        if tag.group != _IMAGE or not dictionary_has_tag(tag) or dictionary_VR(tag) in _BULK:
            continue
        value = dataset.get_item(tag).value
        if isinstance(value, bytes) and len(value) > _LONGEST:
            name = keyword_for_tag(tag)
            reason = f"{name} must take at most {_LONGEST} bytes, takes {len(value)}; export the film again"
            raise RejectedFilm("corrupt", reason)


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


def _check_size(dataset: Dataset, max_pixels: int, max_memory: int) -> None:
    pixels = int(dataset.Rows) * int(dataset.Columns)
    _check_area(pixels, max_pixels)
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise RejectedFilm("unsupported_encoding", "the file must hold one image, has several frames")
    sample = -(-int(dataset.BitsAllocated) // 8)
    # once as the file or its decoder has them, and once as an array
    _check_memory(2 * sample * int(dataset.SamplesPerPixel) * pixels, max_memory)


def _decoded(dataset: Dataset, max_pixels: int, max_memory: int) -> Values:
    """Stored values [rows, columns], or [rows, columns, 3] for colour of any model."""
    syntax = dataset.file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    if not decoder.is_available:
        raise NotImplementedError
    if syntax.is_encapsulated:
        _check_stream(get_frame(dataset.PixelData, 0, number_of_frames=1), syntax, max_pixels, max_memory)
    plugin = "pillow" if syntax == JPEGBaseline8Bit else ""
    pixels, meaning = decoder.as_array(dataset, index=0, raw=True, decoding_plugin=plugin)
    dataset.PhotometricInterpretation = str(meaning["photometric_interpretation"])
    for name in _PIXEL_DATA:  # read for the last time: their room is for the grey values
        dataset.pop(name, None)
    decoded: Values = pixels
    return decoded


def _check_stream(frame: bytes, syntax: str, max_pixels: int, max_memory: int) -> None:
    """Check what will be decoded, whatever the header says of it."""
    stream = codestream(frame)
    if stream is None:
        return
    _check_area(stream.pixels, max_pixels)
    if stream.kind == "jpeg2000":
        sample = 8 + stream.sample_bytes  # OpenJPEG has 32 bits in the tile and again in the image
    elif syntax == JPEGBaseline8Bit:
        sample = 4  # Pillow keeps colour in 32 bits, and copies it twice
    else:
        sample = 4 + 2 * stream.sample_bytes  # libjpeg has 32 bits, which the process keeps while the array is made
    _check_memory(sample * stream.samples * stream.pixels, max_memory)


def _check_area(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise RejectedFilm("too_large", f"the film must have at most {max_pixels} pixels, has {pixels}")


def _check_memory(needed: int, max_memory: int) -> None:
    if needed > max_memory:
        reason = f"decoding must take at most {max_memory} bytes, would take {needed}; export the film in 16-bit grey"
        raise RejectedFilm("too_large", reason)
