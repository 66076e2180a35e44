import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from cxr.errors import RejectedFilm
from cxr.imaging.dicom import read_dicom
from cxr.imaging.read import BYTES_PER_PIXEL, read_film
from support.films import chest, dataset, dicom, encoded, saved

Film = npt.NDArray[np.uint8]
Kinds = dict[str, Callable[[Film], bytes]]

FILM = chest(600, 400)
"""Of several strips."""

WINDOW = {"WindowCenter": 2000, "WindowWidth": 3000}
NEGATIVE = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 5}


def in_16(film: Film) -> npt.NDArray[np.uint16]:
    return film.astype(np.uint16) * 16 + 5


def in_32(film: Film) -> npt.NDArray[np.int32]:
    return (film.astype(np.int32) - 20) * 9999 + 5


def in_colour(film: Film) -> Film:
    return np.dstack([film, film // 2 + 40, 255 - film // 3])


def with_lut(header: Dataset, name: str, *, entries: int, bits: int, first: int = 0) -> bytes:
    item = Dataset()
    item.LUTDescriptor = [entries % 2**16, first, bits]
    item.LUTData = (np.sqrt(np.arange(entries) / entries) * (2**bits - 1)).astype(np.uint16).tobytes()
    setattr(header, name, [item])
    return saved(header)


def with_palette(film: Film) -> bytes:
    header = dataset(film, PhotometricInterpretation="PALETTE COLOR")
    for step, name in enumerate(("Red", "Green", "Blue")):
        setattr(header, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(
            header, f"{name}PaletteColorLookupTableData", (np.arange(256) * (257 - 40 * step)).astype("u2").tobytes()
        )
    return saved(header)


def with_floats(film: Film, name: str, dtype: str) -> bytes:
    header = dataset(film, PixelData=None, BitsStored=None, HighBit=None, PixelRepresentation=None)
    header.BitsAllocated = 8 * np.dtype(dtype).itemsize
    setattr(header, name, (in_16(film) / 3).astype(dtype).tobytes())
    return saved(header)


def in_big_endian(film: Film) -> bytes:
    header = dataset(in_16(film), **WINDOW)
    header.PixelData = in_16(film).astype(">u2").tobytes()
    header["PixelData"].VR = "OW"
    header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=False)
    return buffer.getvalue()


def in_ybr_422(film: Film) -> bytes:
    """Y1 Y2 B R for two pixels (PS3.3 C.7.6.3.1.2)."""
    values = np.full((film.size // 2, 4), 120, np.uint8)
    values[:, :2] = film.reshape(-1, 2)
    colour = np.zeros((*film.shape, 3), np.uint8)
    return dicom(colour, PhotometricInterpretation="YBR_FULL_422", PixelData=values.tobytes())


def compressed(pixels: npt.NDArray[Any], syntax: str, **elements: Any) -> bytes:
    header = dataset(pixels, **elements)
    header.compress(syntax, generate_instance_uid=False)
    return saved(header)


def as_frame(header: Dataset, syntax: str, frame: bytes) -> bytes:
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate([frame])
    return saved(header)


def as_jpeg(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    photometric = "MONOCHROME2" if pixels.ndim == 2 else "YBR_FULL_422"
    header = dataset(pixels, PhotometricInterpretation=photometric)
    return as_frame(header, JPEGBaseline8Bit, encoded(pixels, "JPEG", **options))


def as_jpeg_2000(pixels: npt.NDArray[Any]) -> bytes:
    return as_frame(dataset(pixels), JPEG2000Lossless, encoded(pixels, "JPEG2000", no_jp2=True))


GREY: Kinds = {
    "8 bits": dicom,
    "8 bits, windowed": lambda film: dicom(film, WindowCenter=100, WindowWidth=150),
    "8 bits, signed": lambda film: dicom((film.astype(int) - 128).astype(np.int8), WindowCenter=0, WindowWidth=200),
    "16 bits": lambda film: dicom(in_16(film)),
    "16 bits, windowed": lambda film: dicom(in_16(film), **WINDOW),
    "16 bits, windowed exactly": lambda film: dicom(in_16(film), VOILUTFunction="LINEAR_EXACT", **WINDOW),
    "16 bits, windowed by a sigmoid": lambda film: dicom(in_16(film), VOILUTFunction="SIGMOID", **WINDOW),
    "16 bits, big-endian": in_big_endian,
    "12 bits of 16": lambda film: dicom(in_16(film) & 0xFFF, BitsStored=12, HighBit=11, **WINDOW),
    "16 bits, signed, rescaled": lambda film: dicom(
        in_16(film).astype(np.int16) - 3000, RescaleSlope=0.7, RescaleIntercept=1000, **WINDOW
    ),
    "16 bits, negative with padding": lambda film: dicom(in_16(film), **WINDOW, **NEGATIVE),
    "16 bits, modality LUT": lambda film: with_lut(
        dataset(in_16(film), WindowCenter=30000, WindowWidth=40000), "ModalityLUTSequence", entries=4096, bits=16
    ),
    "16 bits, VOI LUT": lambda film: with_lut(dataset(in_16(film)), "VOILUTSequence", entries=3000, bits=12, first=90),
    "32 bits": lambda film: dicom(in_32(film)),
    "32 bits of few values": lambda film: dicom(film.astype(np.uint32) + 2**20),
    "32 bits, windowed": lambda film: dicom(in_16(film).astype(np.uint32), **WINDOW),
    "32 bits, VOI LUT": lambda film: with_lut(
        dataset(in_16(film).astype(np.uint32)), "VOILUTSequence", entries=4096, bits=16
    ),
    "32 bits, negative with padding": lambda film: dicom(in_32(film), **NEGATIVE),
    "floating point": lambda film: with_floats(film, "FloatPixelData", "f4"),
    "RLE": lambda film: compressed(in_16(film), RLELossless, **WINDOW),
    "JPEG": as_jpeg,
    "JPEG 2000": lambda film: compressed(in_16(film), JPEG2000Lossless, **WINDOW),
}
COLOUR: Kinds = {
    "RGB": lambda film: dicom(in_colour(film)),
    "RGB of 16 bits": lambda film: dicom(in_colour(film).astype(np.uint16) * 257),
    "YBR": lambda film: dicom(in_colour(film), PhotometricInterpretation="YBR_FULL"),
    "YBR 4:2:2": in_ybr_422,
    "palette": with_palette,
    "RLE in colour": lambda film: compressed(in_colour(film), RLELossless),
    "JPEG in colour": lambda film: as_jpeg(in_colour(film)),
    "progressive JPEG in colour": lambda film: as_jpeg(in_colour(film), progressive=True, subsampling=0),
}
LARGE: Kinds = {
    "64 bits": lambda film: dicom(film.astype(np.uint64) * 2**20),
    "double precision": lambda film: with_floats(film, "DoubleFloatPixelData", "f8"),
    "RGB of 32 bits": lambda film: dicom(in_colour(film).astype(np.uint32) * 257),
    "JPEG 2000 in colour": lambda film: as_jpeg_2000(in_colour(film)),
}
"""What takes more memory for a pixel than a film of the largest size may."""

RASTER: Kinds = {
    "PNG": encoded,
    "PNG of 16 bits": lambda film: encoded(in_16(film)),
    "PNG in colour": lambda film: encoded(in_colour(film)),
    "PNG with transparency": lambda film: encoded(np.dstack([in_colour(film), film])),
    "grey JPEG": lambda film: encoded(film, "JPEG"),
    "colour JPEG": lambda film: encoded(in_colour(film), "JPEG"),
}


def pixels_of(data: bytes) -> npt.NDArray[Any]:
    return read_dicom(data, key=None, max_pixels=2**24, max_memory=2**28)[0]


def decoded_by_pydicom(data: bytes) -> tuple[Dataset, npt.NDArray[Any]]:
    """Header and stored values, colour as RGB. JPEG is decoded by Pillow, since decoders differ by a level."""
    header = dcmread(io.BytesIO(data))
    plugin = "pillow" if header.file_meta.TransferSyntaxUID == JPEGBaseline8Bit else ""
    return header, pixel_array(io.BytesIO(data), decoding_plugin=plugin)


def grey_by_pydicom(data: bytes) -> npt.NDArray[Any]:
    """Grey values as pydicom's functions give them for the whole image, in double precision."""
    header, stored = decoded_by_pydicom(data)
    grey = apply_voi_lut(apply_modality_lut(stored, header), header)
    if grey.dtype.kind == "f":
        grey = grey.astype(np.float32)
    elif grey.dtype not in (np.uint8, np.uint16):
        few = int(grey.max()) - int(grey.min()) < 2**16
        grey = (grey.astype(np.int64) - grey.min()).astype(np.uint16) if few else grey.astype(np.float32)
    if header.PhotometricInterpretation == "MONOCHROME1":
        grey = grey.max() - grey + grey.min()
    if "PixelPaddingValue" in header:
        outside = stored == header.PixelPaddingValue
        grey[outside] = grey[~outside].min()
    return grey.astype(grey.dtype.newbyteorder("="))


def luminance_by_pydicom(data: bytes) -> npt.NDArray[np.float64]:
    header, colour = decoded_by_pydicom(data)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        colour = apply_color_lut(colour, header)
    return colour @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("kind", GREY.values(), ids=GREY)
def test_grey_is_bit_for_bit_what_pydicom_gives_for_the_whole_image(kind: Callable[[Film], bytes]) -> None:
    data = kind(FILM)
    pixels, expected = pixels_of(data), grey_by_pydicom(data)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("kind", COLOUR.values(), ids=COLOUR)
def test_colour_is_within_one_level_of_the_luminance(kind: Callable[[Film], bytes]) -> None:
    data = kind(FILM)
    np.testing.assert_allclose(pixels_of(data), luminance_by_pydicom(data), rtol=1e-6, atol=1)


def test_a_table_too_short_for_values_that_the_image_has_not_is_no_fault() -> None:
    header = dataset(FILM)
    item = Dataset()
    item.LUTDescriptor = [2**16 - 1, 0, 16]
    item.LUTData = np.arange(2**16 - 1, dtype=np.uint16).tobytes()
    header.VOILUTSequence = [item]
    np.testing.assert_array_equal(pixels_of(saved(header)), FILM)


class TestMemory:
    """What `tracemalloc` does not see, the memory of Pillow, libjpeg and OpenJPEG, the bounds before decoding count."""

    LARGER = chest(1250, 1000)
    STRIPS = 2 * 2**20
    """Bytes of one strip's work, whatever the size of the picture."""

    @pytest.mark.parametrize(
        "kind", [*RASTER.values(), *GREY.values(), *COLOUR.values()], ids=[*RASTER, *GREY, *COLOUR]
    )
    def test_no_kind_takes_more_than_its_pixels_allow(self, kind: Callable[[Film], bytes]) -> None:
        film = self.LARGER
        read_film(kind(FILM))  # modules that are loaded on the way are no part of it
        data = kind(film)
        tracemalloc.start()
        try:
            read_film(data, max_pixels=film.size)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= BYTES_PER_PIXEL * film.size + self.STRIPS

    @pytest.mark.parametrize("kind", LARGE.values(), ids=LARGE)
    def test_what_takes_more_for_a_pixel_must_have_fewer(self, kind: Callable[[Film], bytes]) -> None:
        data = kind(FILM)
        with pytest.raises(RejectedFilm, match=rf"too_large: decoding must take at most {BYTES_PER_PIXEL * FILM.size}"):
            read_film(data, max_pixels=FILM.size)
        assert read_film(data, max_pixels=3 * FILM.size).pixels.shape == FILM.shape

    def test_it_is_refused_before_it_is_decoded(self) -> None:
        damaged = dicom(in_colour(FILM).astype(np.uint32), PixelData=b"\0" * 1000)
        with pytest.raises(RejectedFilm, match="too_large"):
            read_film(damaged, max_pixels=FILM.size)
        with pytest.raises(RejectedFilm, match="corrupt"):
            read_film(damaged, max_pixels=3 * FILM.size)

    def test_a_stream_with_more_samples_than_its_header_says(self) -> None:
        data = as_frame(dataset(FILM), JPEG2000Lossless, encoded(in_colour(FILM), "JPEG2000", no_jp2=True))
        with pytest.raises(RejectedFilm, match="too_large"):
            read_film(data, max_pixels=FILM.size)

    def test_a_stream_whose_comment_says_less_than_it_has(self) -> None:
        frame = encoded(np.zeros((900, 900), np.uint8), "JPEG")
        comment = encoded(FILM[:64, :64], "JPEG2000", no_jp2=True)[:60]
        frame = frame[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + frame[2:]
        with pytest.raises(RejectedFilm, match="too_large"):
            read_film(as_frame(dataset(FILM), JPEGBaseline8Bit, frame), max_pixels=FILM.size)


def shown(data: bytes) -> npt.NDArray[np.generic]:
    return read_film(data).pixels


@pytest.mark.parametrize(
    "useless",
    [
        {"PixelPaddingValue": None},
        {"PixelPaddingValue": 70, "PixelPaddingRangeLimit": None},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": 1, "RescaleIntercept": None},
        {"WindowCenter": 40, "WindowWidth": 0},
        {"WindowCenter": [40, 80], "WindowWidth": [0, 100]},
        {"WindowCenter": None, "WindowWidth": 100},
        {"WindowCenter": 40, "WindowWidth": None},
        {"WindowCenter": 40, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 2000, "WindowWidth": 0.5, "VOILUTFunction": None},
    ],
    ids=str,
)
def test_an_optional_element_that_says_nothing_is_as_none(useless: dict[str, Any]) -> None:
    film = in_16(FILM)
    plain = {name: value for name, value in useless.items() if name == "PixelPaddingValue" and value is not None}
    assert np.array_equal(shown(saved(dataset(film, **useless))), shown(saved(dataset(film, **plain))))


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_a_narrow_window_counts_where_its_function_has_one(function: str) -> None:
    film = in_16(FILM)
    narrow = saved(dataset(film, WindowCenter=2000, WindowWidth=0.5, VOILUTFunction=function))
    header = dcmread(io.BytesIO(narrow))
    with np.errstate(over="ignore"):
        assert np.array_equal(shown(narrow), apply_voi_lut(film, header).astype(np.float32))


@pytest.mark.parametrize("name", ["WindowCenter", "NumberOfFrames", "Rows"])
def test_thousands_of_numbers_are_refused_before_they_are_read(name: str) -> None:
    header = dataset(FILM)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    many = RawDataElement(Tag(name), None, 6000, b"1\\" * 3000, 0, is_implicit_VR=True, is_little_endian=True)
    header.add(many)
    with pytest.raises(RejectedFilm, match=f"{name} must take at most 4096 bytes, takes 6000"):
        read_film(saved(header))


def test_thousands_of_items_are_refused_before_they_are_read() -> None:
    items = saved(dataset(FILM)) + b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 20_001
    with pytest.raises(RejectedFilm, match="at most 20000 sequence items, has 20001"):
        read_film(items)


@pytest.mark.parametrize(
    ("film", "window"),
    [
        (in_colour(FILM), {"WindowWidth": "abc"}),
        (in_colour(FILM), {"WindowCenter": "1", "WindowWidth": "abc"}),
        (FILM, {"WindowWidth": "abc"}),
        (in_16(FILM), {"VOILUTSequence": [], "WindowCenter": "40", "WindowWidth": "0"}),
    ],
    ids=["colour", "colour with a centre", "grey without a centre", "empty VOI LUT"],
)
def test_a_window_that_nothing_uses_may_be_anything(film: Film, window: dict[str, Any]) -> None:
    header = dataset(film)
    for name, value in window.items():
        if isinstance(value, list):
            setattr(header, name, value)
        else:
            data = value.encode()
            header.add(RawDataElement(Tag(name), "DS", len(data), data, 0, is_implicit_VR=False, is_little_endian=True))
    assert np.array_equal(shown(saved(header)), shown(saved(dataset(film))))
