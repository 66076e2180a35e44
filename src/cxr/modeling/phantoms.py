"""Phantom films to learn from beside real ones: every finding, from scanners that say nothing about it.

What a source must be called for its films to be known for phantoms is said here, and nowhere else.
"""

import csv
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.contracts.recipe import Preprocessing, Sampling
from cxr.domain import TAXONOMY
from cxr.imaging.phantom import write_phantoms
from cxr.imaging.phantom.cohort import INDEX_FILE
from cxr.imaging.preprocess import network_input

SOURCE = "phantom"

_DRAWN = "phantom_"
"""With which the name of every unit of `cxr.imaging.phantom.SCANNERS` begins, which its films have for their source."""

_SIDES = (96, 224)
"""Least and largest side that is drawn, pixels; a phantom has no finer detail."""


def is_phantom(source: str) -> bool:
    """Whether the films of a source were drawn by the project itself, so that no figure says anything of patients."""
    return source.startswith(_DRAWN)


def phantoms_beside(sampling: Sampling, sources: Iterable[str]) -> int:
    """How many phantoms are learnt beside training films of these sources: none where one of them is of phantoms.

    A recipe's phantoms are drawn from its seed, as a phantom source is: they would be the patients of that source once
    more, those of its test films among them, and taken by the scanners that cross-validation withholds.
    """
    return 0 if any(map(is_phantom, sources)) else sampling.phantoms


@dataclass(frozen=True, eq=False)
class PhantomFilms:
    """Drawn films ready for a network.

    Attributes:
        films: uint8 [n, S, S], preprocessed.
        labels: int64 [n], position in the taxonomy.
    """

    films: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def phantom_films(count: int, preprocessing: Preprocessing, *, seed: int) -> PhantomFilms:
    """Draw phantoms, on all cores, some 60 a second on each; the last set is kept for the next call.

    Args:
        count: of films.
        preprocessing: of the recipe.
        seed: the same seed draws the same films.
    """
    with tempfile.TemporaryDirectory() as scratch:
        side = int(np.clip(preprocessing.size, *_SIDES))
        folder = write_phantoms(out=Path(scratch) / SOURCE, films=count, seed=seed, side=side)
        with (folder / INDEX_FILE).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        films = np.stack([network_input(_read(folder / row["path"]), preprocessing) for row in rows])
    return PhantomFilms(films, np.array([TAXONOMY.index(row["label"]) for row in rows], np.int64))


def _read(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))
