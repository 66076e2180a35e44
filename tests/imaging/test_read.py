import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from cxr.domain import View
from cxr.errors import REJECTION_CODES, RejectedFilm
from cxr.imaging.read import MIN_SIDE, read_film
from support.films import chest, dataset, dicom, encoded, saved

FILM = chest()
FILM_16 = FILM.astype(np.uint16) * 16 + 5


def code_of(data: bytes | Path, **limits: int) -> str:
    with pytest.raises(RejectedFilm) as caught:
        read_film(data, **limits)
    assert caught.value.code in REJECTION_CODES
    return caught.value.code


class TestRaster:
    def test_grey_png_keeps_its_values(self) -> None:
        reading = read_film(encoded(FILM))
        np.testing.assert_array_equal(reading.pixels, FILM)
        assert reading.kind == "png"
        assert not reading.polarity_corrected

    def test_16_bit_png_keeps_its_values(self) -> None:
        pixels = read_film(encoded(FILM_16)).pixels
        assert pixels.dtype == np.uint16
        np.testing.assert_array_equal(pixels, FILM_16)

    def test_jpeg_is_what_pillow_decodes(self) -> None:
        data = encoded(FILM, "JPEG", quality=90)
        reading = read_film(data)
        np.testing.assert_array_equal(reading.pixels, np.asarray(Image.open(io.BytesIO(data))))
        assert reading.kind == "jpeg"

    @pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "LA"])
    def test_grey_shown_in_colour_modes_comes_back_as_it_was(self, mode: str) -> None:
        buffer = io.BytesIO()
        Image.fromarray(FILM).convert(mode).save(buffer, "PNG")
        np.testing.assert_array_equal(read_film(buffer.getvalue()).pixels, FILM)

    @pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
    def test_jpeg_colour_spaces_come_back_as_grey(self, mode: str) -> None:
        buffer = io.BytesIO()
        Image.fromarray(FILM).convert("RGB").convert(mode).save(buffer, "JPEG", quality=95)
        pixels = read_film(buffer.getvalue()).pixels.astype(float)
        assert np.corrcoef(pixels.ravel(), FILM.ravel())[0, 1] > 0.99

    def test_what_is_transparent_is_black(self) -> None:
        alpha = np.full_like(FILM, 255)
        alpha[:, :20] = 0
        image = Image.merge("LA", (Image.fromarray(FILM), Image.fromarray(alpha)))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        pixels = read_film(buffer.getvalue()).pixels
        assert not pixels[:, :20].any()
        np.testing.assert_array_equal(pixels[:, 20:], FILM[:, 20:])

    def test_a_large_picture_is_grey_as_the_whole_of_it_would_be(self) -> None:
        film = chest(600, 400)
        alpha = np.where(film > 20, 255, film).astype(np.uint8)
        data = encoded(np.dstack([film, film // 2 + 40, 255 - film // 3, alpha]))
        with Image.open(io.BytesIO(data)) as picture:
            whole = Image.composite(picture.convert("L"), Image.new("L", picture.size), picture.getchannel("A"))
        np.testing.assert_array_equal(read_film(data).pixels, np.asarray(whole))

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_exif_orientation_is_applied(self, orientation: int, kind: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(FILM, kind, exif=exif)
        with Image.open(io.BytesIO(data)) as stored:
            upright = np.asarray(ImageOps.exif_transpose(stored))
        pixels = read_film(data).pixels
        np.testing.assert_array_equal(pixels if not read_film(data).polarity_corrected else 255 - pixels, upright)

    def test_the_content_decides_not_the_name(self, tmp_path: Path) -> None:
        path = tmp_path / "film.dcm"
        path.write_bytes(encoded(FILM, "JPEG"))
        assert read_film(path).kind == "jpeg"


class TestRefusals:
    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "film.png").touch()
        assert code_of(tmp_path / "film.png") == code_of(b"") == "empty_file"

    def test_what_cannot_be_opened(self, tmp_path: Path) -> None:
        assert code_of(tmp_path / "absent.png") == code_of(tmp_path) == "unreadable"

    @pytest.mark.parametrize("data", [b"<!DOCTYPE html><html></html>", b"\0" * 4096, b"x", b"\x08\x00\x05\x00junk"])
    def test_not_an_image(self, data: bytes) -> None:
        assert code_of(data) == "not_an_image"

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "WEBP", "JPEG2000"])
    def test_other_formats(self, kind: str) -> None:
        assert code_of(encoded(FILM, kind)) == "unsupported_encoding"

    @pytest.mark.parametrize("data", [encoded(FILM), encoded(FILM, "JPEG"), dicom(FILM)], ids=["png", "jpeg", "dicom"])
    @pytest.mark.parametrize("share", [0.4, 0.9])
    def test_truncated(self, data: bytes, share: float) -> None:
        assert code_of(data[: int(len(data) * share)]) == "corrupt"

    def test_too_small(self) -> None:
        assert read_film(encoded(chest(MIN_SIDE, MIN_SIDE)))
        assert code_of(encoded(chest(MIN_SIDE - 1, 400))) == "too_small"

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_constant_but_for_a_few_pixels(self, dtype: type[np.unsignedinteger[Any]]) -> None:
        pixels = np.full((200, 200), 77, dtype)
        pixels[0, :3] = 200
        assert code_of(encoded(pixels)) == "constant"

    def test_more_bytes_than_allowed(self, tmp_path: Path) -> None:
        data = encoded(FILM)
        (tmp_path / "film.png").write_bytes(data)
        assert code_of(data, max_bytes=len(data) - 1) == "too_large"
        assert code_of(tmp_path / "film.png", max_bytes=len(data) - 1) == "too_large"
        assert read_film(tmp_path / "film.png", max_bytes=len(data))

    @pytest.mark.parametrize("data", [encoded(FILM), encoded(FILM, "JPEG"), dicom(FILM)], ids=["png", "jpeg", "dicom"])
    def test_more_pixels_than_allowed(self, data: bytes) -> None:
        assert code_of(data, max_pixels=FILM.size - 1) == "too_large"
        assert read_film(data, max_pixels=FILM.size)

    @pytest.mark.parametrize("side", [10_000, 20_000, 2_000_000])
    def test_decompression_bomb(self, side: int) -> None:
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
        bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
        assert code_of(bomb) == "too_large"


def stretched(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    values = values.astype(float)
    return (values - values.min()) / (values.max() - values.min())


class TestDicom:
    def test_values_of_plain_files_stay(self) -> None:
        for film in (FILM, FILM_16):
            reading = read_film(dicom(film))
            np.testing.assert_array_equal(reading.pixels, film)
            assert reading.pixels.dtype == film.dtype
            assert reading.kind == "dicom"

    def test_order_of_rescale_window_and_inversion(self) -> None:
        stored = (4000 - 10 * FILM.astype(np.int16)).astype(np.int16)
        data = dicom(
            stored,
            RescaleSlope=2,
            RescaleIntercept=-100,
            WindowCenter=4900,
            WindowWidth=4001,
            PhotometricInterpretation="MONOCHROME1",
        )
        modality = stored * 2.0 - 100
        window = np.clip((modality - 4899.5) / 4000 + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
        assert window.min() == 0
        assert window.max() == 1
        reading = read_film(data)
        assert reading.pixels.dtype == np.float32
        np.testing.assert_allclose(stretched(reading.pixels), stretched(-window), atol=1e-6)

    def test_voi_lut(self) -> None:
        table = (np.sqrt(np.arange(256) / 255) * 4095).astype(np.uint16)
        item = Dataset()
        item.LUTDescriptor = [256, 0, 12]
        item.LUTData = table.tobytes()
        data = saved(_with_sequence(dataset(FILM), "VOILUTSequence", item))
        np.testing.assert_allclose(stretched(read_film(data).pixels), stretched(table[FILM]), atol=1e-6)

    def test_a_window_that_shows_nothing_is_ignored(self) -> None:
        data = dicom(FILM_16, WindowCenter=60000, WindowWidth=2)
        np.testing.assert_array_equal(read_film(data).pixels, FILM_16)

    def test_padding_is_as_dark_as_air(self) -> None:
        stored = (255 - FILM).astype(np.uint16) + 10
        stored[:, :8] = 0
        data = dicom(stored, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
        pixels = read_film(data).pixels
        assert (pixels[:, :8] == pixels.min()).all()
        np.testing.assert_allclose(stretched(pixels[:, 8:]), stretched(FILM[:, 8:]), atol=1e-6)

    @pytest.mark.parametrize("signed", [False, True])
    def test_padding_of_an_implicit_file(self, signed: bool) -> None:
        stored = FILM_16.astype(np.int16 if signed else np.uint16)
        stored[:8] = -2000 if signed else 60000
        header = dataset(stored, PixelPaddingValue=int(stored[0, 0]))
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        pixels = read_film(saved(header)).pixels
        assert (pixels[:8] == pixels.min()).all()
        np.testing.assert_allclose(stretched(pixels[8:]), stretched(FILM_16[8:]), atol=1e-6)

    def test_colour(self) -> None:
        grey = np.repeat(FILM[..., None], 3, axis=2)
        np.testing.assert_array_equal(read_film(dicom(grey)).pixels, FILM)

    @pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
    def test_compressed_without_loss(self, syntax: str) -> None:
        header = dataset(FILM_16)
        header.compress(syntax, generate_instance_uid=False)
        np.testing.assert_array_equal(read_film(saved(header)).pixels, FILM_16)

    def test_compressed_as_jpeg(self) -> None:
        header = dataset(FILM)
        header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        header.PixelData = _encapsulated(encoded(FILM, "JPEG", quality=95))
        assert np.abs(read_film(saved(header)).pixels.astype(int) - FILM).mean() < 4

    def test_big_endian(self) -> None:
        header = dataset(FILM_16)
        header.PixelData = FILM_16.astype(">u2").tobytes()
        header["PixelData"].VR = "OW"
        header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        buffer = io.BytesIO()
        header.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=False)
        np.testing.assert_array_equal(read_film(buffer.getvalue()).pixels, FILM_16)

    def test_without_preamble(self) -> None:
        header = dataset(FILM)
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        data = saved(header)
        body = data[data.index(b"\x08\x00\x16\x00") :]
        np.testing.assert_array_equal(read_film(body).pixels, FILM)

    @pytest.mark.parametrize(
        ("elements", "code"),
        [
            ({"PixelData": None}, "no_pixels"),
            ({"Rows": 30000, "Columns": 30000}, "too_large"),
            ({"NumberOfFrames": 2, "PixelData": FILM.tobytes() * 2}, "unsupported_encoding"),
            ({"PresentationIntentType": "FOR PROCESSING"}, "unsupported_encoding"),
            ({"PixelData": FILM.tobytes()[:1000]}, "corrupt"),
            ({"Rows": None}, "corrupt"),
            ({"BitsAllocated": 7}, "corrupt"),
        ],
    )
    def test_pixels_that_cannot_be_used(self, elements: dict[str, Any], code: str) -> None:
        assert code_of(dicom(FILM, **elements)) == code

    def test_syntaxes_that_are_not_read(self) -> None:
        header = dataset(FILM)
        header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        assert code_of(saved(header)) == "unsupported_encoding"
        video = dicom(FILM).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0", 1)
        assert code_of(video) == "unsupported_encoding"

    @pytest.mark.parametrize(("kind", "syntax"), [("JPEG", JPEGBaseline8Bit), ("JPEG2000", JPEG2000Lossless)])
    def test_a_stream_larger_than_its_header_says(self, kind: str, syntax: str) -> None:
        options = {"no_jp2": True} if kind == "JPEG2000" else {}
        stream = encoded(np.zeros((900, 900), np.uint8), kind, **options)
        header = dataset(FILM)
        header.file_meta.TransferSyntaxUID = syntax
        header.PixelData = _encapsulated(stream)
        assert code_of(saved(header), max_pixels=FILM.size) == "too_large"

    def test_polarity_that_the_header_has_wrong(self) -> None:
        right = read_film(dicom(255 - FILM, PhotometricInterpretation="MONOCHROME1"))
        wrong = read_film(dicom(FILM, PhotometricInterpretation="MONOCHROME1"))
        assert (right.polarity_corrected, wrong.polarity_corrected) == (False, True)
        np.testing.assert_array_equal(right.pixels, FILM)
        np.testing.assert_array_equal(wrong.pixels, FILM)


def _with_sequence(header: Dataset, name: str, item: Dataset) -> Dataset:
    setattr(header, name, [item])
    return header


def _encapsulated(frame: bytes) -> bytes:
    from pydicom.encaps import encapsulate

    return encapsulate([frame])


SEEDS = (
    encoded(FILM),
    encoded(FILM_16),
    encoded(FILM, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    dicom(FILM, WindowCenter=128, WindowWidth=200, RescaleSlope=2, RescaleIntercept=1),
    saved(dataset(FILM_16)),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A film's bytes with some of them changed, removed or added, mostly near the start, or cut off."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        end = len(data) if draw(st.booleans()) else min(len(data), 1200)
        at = draw(st.integers(0, max(0, end - 1)))
        removed, added = draw(st.integers(0, 8)), draw(st.binary(max_size=8))
        data[at : at + removed] = added
    if draw(st.integers(0, 3)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=damaged() | st.binary(max_size=400))
@example(data=b"\x89PNG\r\n\x1a\n")
@example(data=b"\xff\xd8\xff")
@example(data=b"\0" * 128 + b"DICM")
def test_any_bytes_give_a_film_or_a_verdict(data: bytes) -> None:
    try:
        reading = read_film(data, key=b"secret", max_pixels=2**22)
    except RejectedFilm as rejected:
        verdict = rejected
    else:
        assert reading.pixels.ndim == 2
        assert reading.pixels.dtype in (np.uint8, np.uint16, np.float32)
        assert min(reading.pixels.shape) >= MIN_SIDE
        return
    assert verdict.code in REJECTION_CODES
    assert verdict.reason


REAL_DICOM = {
    "chest_frontal/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": View.PA,
    "chest_frontal/RG1_J2KI.dcm": View.PA,
    "chest_frontal/gdcm-CR-MONO1-10-chest.dcm": View.PA,
    "chest_frontal/test1.dcm": View.PA,
    "chest_frontal/test2.dcm": View.AP,
    "header_traps/Fake_MONOHR1.dcm": View.PA,
    "header_traps/test5.dcm": "wrong_modality",
    "header_traps/test6.dcm": "wrong_view",
    "no_pixels/0_ORIGINAL_no_pixels.dcm": "no_pixels",
    "not_chest/CT_small.dcm": "wrong_modality",
    "not_chest/NM_Kakadu44_SOTmarkerincons.dcm": "wrong_body_part",
    "not_dicom/test1.dcm": "not_an_image",
}


@pytest.mark.real
class TestRealFiles:
    @pytest.mark.parametrize(("name", "expected"), REAL_DICOM.items())
    def test_dicom(self, real_data: Path, name: str, expected: View | str) -> None:
        path = real_data / "dicom" / name
        if not isinstance(expected, View):
            assert code_of(path) == expected
            return
        reading = read_film(path)
        assert reading.facts.view == expected
        assert reading.polarity_corrected == name.startswith("header_traps")
        air, middle = reading.pixels[5:40, 5:40].mean(), np.median(reading.pixels[:, reading.pixels.shape[1] // 2])
        assert air < middle, "air must be darker than the mediastinum"

    def test_the_fake_negative_is_the_film_it_was_made_from(self, real_data: Path) -> None:
        names = [name for name in REAL_DICOM if "850819" in name or "Fake" in name]
        original, fake = (read_film(real_data / "dicom" / name).pixels for name in names)
        np.testing.assert_array_equal(original, fake)

    def test_all_files_are_in_the_table(self, real_data: Path) -> None:
        folder = real_data / "dicom"
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm")} == set(REAL_DICOM)
