"""Sources that a test fills, and what came of ingesting them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from PIL import Image

from cxr.contracts.files import read_json
from cxr.contracts.ingest import IngestReport
from cxr.contracts.recipe import Preprocessing, Recipe
from cxr.steps.ingest import ingest
from support.films import chest, dicom, encoded

RECIPE = Recipe(preprocessing=Preprocessing(size=64, stored_side=96))


class Source:
    """A folder with an index that a test fills film by film."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        folder.mkdir(parents=True)

    def add(self, name: str, data: bytes, **columns: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.rows.append({"path": name, **columns})

    def ingest(self, out: Path, **options: Any) -> IngestReport:
        pd.DataFrame(self.rows).to_csv(self.folder / "index.csv", index=False)
        return ingest(data=str(self.folder), out=out, recipe=RECIPE, **{"workers": 1, **options})


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files; of the report without its seconds."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "ingest.json":
                report = msgspec.structs.replace(read_json(path, IngestReport), seconds=0.0)
                data = msgspec.json.encode(report)
            digests[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return digests


def lines_in(partial: Path) -> int:
    """Files read so far."""
    lines = partial / "films.jsonl"
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def fill(source: Source, films: int) -> None:
    """Films of every kind, some of them bad, duplicates among them."""
    for number in range(films):
        film = chest(192, 160 + number, seed=number)
        label = ("Normal", "TB", "pneumonia")[number % 3]
        kinds: tuple[tuple[str, Callable[[], bytes]], ...] = (
            ("png", lambda film=film: encoded(film)),
            ("jpg", lambda film=film: encoded(film, "JPEG", quality=92)),
            ("dcm", lambda film=film: dicom(film.astype(np.uint16), PatientID=f"id{film.shape[1] // 2}")),
            ("png", lambda film=film: encoded(film)[:2000]),
        )
        ending, make = kinds[number % 4]
        source.add(f"{number:03d}.{ending}", make(), label=label, source="ab"[number % 2])
    first = source.rows[0]
    source.add("copy.png", (source.folder / first["path"]).read_bytes(), label=first["label"], source="a")


def half_mask(source: Source, half: str) -> str:
    """Name of a new mask that marks the left or the right half of a film."""
    mask = np.zeros((192, 160), np.uint8)
    mask[:, :80] = 255
    (source.folder / f"{half}.png").write_bytes(encoded(mask if half == "left" else 255 - mask))
    return f"{half}.png"


def marked_half(studies: Path) -> str:
    """The half that the only mask of the studies marks."""
    (path,) = (studies / "masks").iterdir()
    return "left" if np.asarray(Image.open(path))[0, 0] else "right"


INGEST = """
import sys
from pathlib import Path
from cxr.contracts.recipe import Preprocessing, Recipe
from cxr.steps.ingest import ingest
recipe = Recipe(preprocessing=Preprocessing(size=64, stored_side=96))
ingest(data=sys.argv[1], out=Path(sys.argv[2]), recipe=recipe, workers=2, pseudonym_key=b"k")
"""
"""A program that ingests argv[1] into argv[2], with two workers."""
