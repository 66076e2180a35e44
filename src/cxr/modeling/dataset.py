"""Films as one uint8 array: decoding is paid once, never inside an epoch."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import cxr
from cxr.contracts.files import value_digest
from cxr.contracts.recipe import Preprocessing
from cxr.contracts.studies import IMAGES_FOLDER, StudyIndex
from cxr.domain import TAXONOMY
from cxr.errors import ContractError
from cxr.imaging.preprocess import Film, network_input
from cxr.progress import progress


@dataclass(frozen=True, eq=False)
class FilmArray:
    """Films ready for a network.

    Attributes:
        films: uint8 [n, S, S], preprocessed; a memory map when a scratch folder was given.
        labels: int64 [n], position in the taxonomy, -1 for unlabelled films.
        index: the rows of the films, in the same order.
    """

    films: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    index: StudyIndex

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sources(self) -> list[str]:
        """Source of each film, "" where it is unknown."""
        return [str(source) for source in self.index.films["source"].astype(object).fillna("")]

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "FilmArray":
        """The films at `rows` (a mask or ascending positions), copied."""
        return FilmArray(self.films[rows], self.labels[rows], StudyIndex(self.index.films.iloc[rows]))


def load_films(
    studies: Path, index: StudyIndex, preprocessing: Preprocessing, *, scratch: Path | None = None
) -> FilmArray:
    """Decode and preprocess the films of an index.

    Args:
        studies: folder that holds `images/`.
        index: the films wanted.
        preprocessing: of the recipe.
        scratch: keep the array there as a memory map, to be found by the next call for the same films of the same
            version of cxr, as another one may preprocess them differently.

    Raises:
        ContractError: an image of the index is missing or unreadable.
    """
    names = index.films["image_id"].tolist()
    labels = np.array([-1 if label is None else TAXONOMY.index(label) for label in _labels(index)], np.int64)
    shape = (len(names), preprocessing.size, preprocessing.size)
    if scratch is None:
        films = np.empty(shape, np.uint8)
        _decode(studies, names, preprocessing, films)
        return FilmArray(films, labels, index)
    parts = [cxr.__version__, value_digest(preprocessing), *names]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    kept = scratch / f"films-{key}.npy"
    if not kept.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
        try:
            array = np.lib.format.open_memmap(draft, "w+", np.uint8, shape)
            _decode(studies, names, preprocessing, array)
            array.flush()
            draft.replace(kept)
        finally:
            draft.unlink(missing_ok=True)
    # copy-on-write: torch wants a writable array, and nothing writes to it
    return FilmArray(np.lib.format.open_memmap(kept, "c"), labels, index)


def _labels(index: StudyIndex) -> Iterator[str | None]:
    labels = index.films["label"]
    return (None if missing else str(label) for label, missing in zip(labels, labels.isna(), strict=True))


def _decode(studies: Path, names: list[str], preprocessing: Preprocessing, out: npt.NDArray[np.uint8]) -> None:
    def one(row: int) -> None:
        out[row] = network_input(read_stored(studies, names[row]), preprocessing)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, progress("decode", len(names)) as advance:
        for _ in pool.map(one, range(len(names))):
            advance(1)


def read_stored(studies: Path, image_id: str) -> Film:
    """One stored film, uint8 [h, w]; raises `ContractError` when it is missing or unreadable."""
    path = studies / IMAGES_FOLDER / f"{image_id}.png"
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except OSError as error:
        raise ContractError(f"{path} must be a readable PNG: {error}; run `cxr ingest` again") from error
