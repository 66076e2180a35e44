"""Drawn chests and DICOM files made in memory, for tests of reading and ingestion."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

PATIENT = "DOE^JANE"
SECRETS = {
    "PatientName": PATIENT,
    "PatientID": "MRN0012345",
    "PatientBirthDate": "19310203",
    "InstitutionName": "Saint Elsewhere",
    "ReferringPhysicianName": "HOUSE^GREGORY",
    "AccessionNumber": "ACC998877",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.111",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.222",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.333",
    "StationName": "ROOM7",
}
"""What a header knows and no reading may repeat."""


def chest(height: int = 192, width: int = 160, *, seed: int = 0, noise: float = 8.0) -> npt.NDArray[np.uint8]:
    """A chest drawn from ellipses with ribs and noise: dark air and lungs, bright mediastinum and abdomen."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    shift, size, tilt = rng.uniform(-0.03, 0.03), rng.uniform(0.9, 1.1), rng.uniform(-0.1, 0.1)
    x = x + shift + tilt * (y - 0.5)

    def inside(across: float, down: float, wide: float, high: float) -> npt.NDArray[np.bool_]:
        return ((x - across) / (wide * size)) ** 2 + ((y - down) / (high * size)) ** 2 < 1

    film = np.where(inside(0.5, 0.75, 0.47, 0.75), 150.0, 10.0)
    for side in (0.29, 0.71):
        film[inside(side, 0.42, 0.16, 0.3)] = 60
        ribs = 18 * np.sin(40 * y + rng.uniform(0, 6) + 6 * np.abs(x - side))
        film += ribs * inside(side, 0.42, 0.16, 0.3)
    film[np.abs(x - 0.5) < 0.07] += 50
    film[inside(0.57, 0.6, 0.12, 0.14)] = 190
    film[y > 0.78] += 40
    for _ in range(6):
        spot = inside(rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.7), rng.uniform(0.02, 0.07), rng.uniform(0.02, 0.07))
        film[spot] += rng.uniform(-50, 70)
    return np.clip(film + rng.normal(0, noise, film.shape), 0, 255).astype(np.uint8)


def encoded(pixels: npt.NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def dataset(pixels: npt.NDArray[Any], **elements: Any) -> Dataset:
    """A DICOM radiograph of a chest, uncompressed. `elements` are set last; None removes one."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = SECRETS["SOPInstanceUID"]
    header.SOPClassUID = ComputedRadiographyImageStorage
    bits = 8 * pixels.dtype.itemsize
    known: dict[str, Any] = {
        **SECRETS,
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientSex": "F",
        "PatientAge": "045Y",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1 if pixels.ndim == 2 else pixels.shape[2],
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
        **elements,
    }
    if pixels.ndim == 3:
        known["PlanarConfiguration"] = 0
    for name, value in known.items():
        if value is not None:
            setattr(header, name, value)
    return header


def dicom(pixels: npt.NDArray[Any], **elements: Any) -> bytes:
    """The bytes of `dataset(pixels, **elements)`."""
    return saved(dataset(pixels, **elements))


def saved(header: Dataset) -> bytes:
    """A data set as the bytes of a file."""
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
