"""One file to one stored film: what a worker process does. Never imports torch."""

import io
import os
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from cxr.contracts.recipe import Preprocessing
from cxr.domain import Sex, View
from cxr.errors import RejectedFilm
from cxr.imaging.preprocess import Film, stored_film
from cxr.imaging.read import film_bytes, read_film
from cxr.imaging.similarity import fingerprint

_PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Run lengths compress filtered films better than matches of level 1 do, and faster."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A file to read.

    Attributes:
        identity: of the file and of its mask as they are now; equal identities need no second reading.
    """

    identity: str
    path: Path
    mask: Path | None


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where films go and how.

    Attributes:
        images, masks: existing folders; of films by image_id, and of masks by the identity of their job, since of
            films with the same pixels each may have a mask of its own.
        key: secret of the pseudonyms.
    """

    images: Path
    masks: Path
    preprocessing: Preprocessing
    key: bytes


class StoredFilm(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="film"):
    """What a file turned out to hold, apart from its pixels.

    Attributes:
        image_id: SHA-256 of the stored PNG, whose encoding depends on the stored pixels alone.
        sha256: of the file.
        width, height: of the original, pixels.
        view, sex, age, patient_id, study_id: what the header says, as far as it may leave it.
        mean, spread: mean and standard deviation of the stored film's grey values, 0..255.
        hash: of the fingerprint.
        masked: a lesion mask has been stored; `mask_error` says why a given one could not be.
    """

    image_id: str
    sha256: str
    width: int
    height: int
    view: View | None
    sex: Sex | None
    age: float | None
    patient_id: str | None
    study_id: str | None
    polarity_corrected: bool
    mean: float
    spread: float
    hash: int
    masked: bool
    mask_error: str | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="refusal"):
    """Why a file is no film. `code` is one of `cxr.errors.REJECTION_CODES`."""

    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A job done: the film with its thumbnail (see `cxr.imaging.similarity`), or the refusal."""

    identity: str
    film: StoredFilm | Refusal
    thumbnail: bytes = b""


def identity(path: Path, mask: Path | None) -> str:
    """Identity of a file and its mask: names, sizes and times of change."""
    parts = []
    for file in (path, mask):
        try:
            state = file.stat() if file else None
        except OSError:
            state = None
        parts.append(f"{file}:{state.st_size}:{state.st_mtime_ns}" if state else f"{file}")
    return sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def process(jobs: list[Job], store: Store) -> list[Outcome]:
    """Read, store and measure films, in order. Only a fault of the machine (a full disk) raises."""
    return [_process(job, store) for job in jobs]


def _process(job: Job, store: Store) -> Outcome:
    try:
        content = film_bytes(job.path)
        reading = read_film(content, key=store.key)
    except RejectedFilm as verdict:
        return Outcome(identity=job.identity, film=Refusal(code=verdict.code, reason=verdict.reason))
    height, width = reading.pixels.shape
    film = stored_film(reading.pixels, store.preprocessing)
    image_id = _store(film, store.images)
    masked, mask_error = _store_mask(job.mask, film.shape, store.masks / f"{job.identity}.png")
    look = fingerprint(film)
    facts = reading.facts
    stored = StoredFilm(
        image_id=image_id,
        sha256=sha256(content).hexdigest(),
        width=width,
        height=height,
        view=facts.view,
        sex=facts.sex,
        age=facts.age,
        patient_id=facts.patient_id,
        study_id=facts.study_id,
        polarity_corrected=reading.polarity_corrected,
        mean=round(float(film.mean()), 3),
        spread=round(float(film.std()), 3),
        hash=look.hash,
        masked=masked,
        mask_error=mask_error,
    )
    return Outcome(identity=job.identity, film=stored, thumbnail=look.thumbnail.tobytes())


def _store(film: Film, folder: Path) -> str:
    """Write the film as PNG; returns the digest that names it."""
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, format="PNG", **_PNG)
    image_id = sha256(buffer.getbuffer()).hexdigest()
    _write(folder / f"{image_id}.png", buffer.getvalue())
    return image_id


def _store_mask(path: Path | None, shape: tuple[int, ...], out: Path) -> tuple[bool, str | None]:
    """Write the mask at the film's size as 0 and 255; returns whether it marks anything, and what went wrong."""
    if path is None:
        return False, None
    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF", "GIF", "BMP")) as opened:
            inside = np.asarray(opened.convert("L")) > 0
    except Exception as error:  # noqa: BLE001 - a mask may hold any bytes, and its film is good without it
        return False, f"a lesion mask must be a readable picture ({type(error).__name__})"
    height, width = shape
    lesion = Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    if lesion.getbbox() is None:
        return False, None
    buffer = io.BytesIO()
    lesion.save(buffer, format="PNG", **_PNG)
    _write(out, buffer.getvalue())
    return True, None


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is whole after a kill; two workers may write the same one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
