"""Films of an index file: one row per film, missing columns and empty cells are unknown.

| column | holds |
|---|---|
| path | the film, relative to the index's folder or absolute; the one column that must be there |
| label | a finding, or a usual name of one ("TB") |
| patient_id | pseudonym, unique within the data set; empty or "unknown" where it is not known |
| study_id | of films taken in one sitting, unique within the source |
| source | hospital, scanner or data set |
| view | PA or AP |
| sex | F, M or O |
| age | years, or as DICOM writes it ("081Y", "006M") |
| age_group | paediatric or adult, where the age is not known |
| mask | picture of the lesion, non-zero inside |

Other columns are ignored, unless one is named so nearly like a column that is missing that it must be a slip. A path
may lead out of the index's folder, for whoever wrote the index chose its films; not so where the index was downloaded.
"""

import csv
import difflib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from cxr.contracts.source import SourceFilm
from cxr.errors import SourceError
from cxr.imaging.header import stated_age

logger = logging.getLogger(__name__)

INDEX_SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS = ("path", "label", "patient_id", "study_id", "source", "view", "sex", "age", "age_group", "mask")

_TEXTS = ("label", "patient_id", "study_id", "source", "view", "sex", "age_group")
_UNKNOWN = {"", "na", "n/a", "nan", "null", "none", "<na>"}
_NOBODY = {"unknown", "unk", "anonymous", "anonymized", "anonymised", "not specified", "unspecified", "?", "-"}
"""What stands for a patient or a study that is not told. Whatever may number one, as "0" and "anon12" do, is none."""

Row = Mapping[str, object]


def read_index(path: Path, *, confined: bool = False) -> list[SourceFilm]:
    """List the films of an index, in its order. A row whose file is missing is listed too, for ingestion to report.

    Args:
        path: .csv (UTF-8; comma, semicolon or tab), .tsv or .parquet.
        confined: the index was downloaded: its paths must stay within its folder.

    Raises:
        SourceError: the file is malformed, lacks `path`, has a misnamed column or lists no film that exists.
    """
    films = list_rows(path, confined=confined)
    if not any(film.path.is_file() for film in films):
        raise SourceError(
            f"{path} must list files that exist, none of its {len(films)} does; the first is {films[0].name!r}: "
            "paths are relative to the index's folder"
        )
    return films


def list_rows(path: Path, *, confined: bool = False) -> list[SourceFilm]:
    """As `read_index`, whether or not the files are there."""
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    films = [
        _film(row, line=line, index=path, confined=confined)
        for line, row in rows
        if any(_text(value) for value in row.values())
    ]
    if not films:
        raise SourceError(f"{path} must list films, has no rows")
    return films


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line number and cells of each row of a text file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            if not header.strip():
                raise SourceError(f"{path} must start with a line of column names, starts with an empty one")
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=header.count), strict=True)
            names = [name.strip() for name in next(reader)]
            _check_columns(names, path)
            for cells in reader:
                if len(cells) > len(names) and any(cells[len(names) :]):
                    raise SourceError(
                        f"line {reader.line_num} of {path} must have {len(names)} cells, has {len(cells)}; "
                        "put quotes around a cell that holds the separator"
                    )
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} must be UTF-8 text: {error}; save it as CSV UTF-8") from error
    except (csv.Error, OSError) as error:
        raise SourceError(f"{path} must be a readable CSV file: {error}") from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Number, from 1, and cells of each row of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [str(name) for name in file.schema_arrow.names]
            _check_columns(names, path)
            line = 0
            for batch in file.iter_batches(columns=[name for name in COLUMNS if name in names]):
                for row in batch.to_pylist():
                    line += 1
                    yield line, row
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} must be a readable Parquet file: {error}") from error


def _check_columns(names: Sequence[str], path: Path) -> None:
    twice = sorted({name for name in COLUMNS if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path} must have each column once, has {', '.join(twice)} more than once")
    others = [name for name in names if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in names]
    for name in others:
        near = _near(name, missing)
        if near:
            raise SourceError(f"{path} has a column {name!r}; did you mean {near}? Rename it, or remove it")
    if "path" in missing:
        note = "; it is a study index that ingestion wrote: give the data it was made from"
        raise SourceError(
            f"{path} must have a column path, has {', '.join(names) or 'none'}"
            + (note if {"image_id", "group_id"} <= set(names) else "")
        )
    if "label" in missing:
        logger.warning("%s has no column label, so that all its films are unlabelled", path)
    if others:
        logger.debug("%s: ignored the columns %s", path, ", ".join(others))


def _near(name: str, missing: Iterable[str]) -> str | None:
    """The missing column that `name` must have been meant for."""
    plain = {column.replace("_", ""): column for column in missing}
    found = difflib.get_close_matches(name.lower().replace("_", "").replace(" ", ""), plain, 1, cutoff=0.85)
    return plain[found[0]] if found else None


def _film(row: Row, *, line: int, index: Path, confined: bool) -> SourceFilm:
    folder = index.parent
    name = _text(row.get("path"))
    if name is None:
        raise SourceError(f"row {line} of {index} must have a path, has none")
    mask = _text(row.get("mask"))
    age = _text(row.get("age"))
    texts = {column: _text(row.get(column)) for column in _TEXTS}
    for column in ("patient_id", "study_id"):
        if (texts[column] or "").lower() in _NOBODY:
            texts[column] = None
    path = _locate(name, index=index, confined=confined)
    return SourceFilm(
        path=path,
        name=path.relative_to(folder).as_posix() if path.is_relative_to(folder) else name,
        age=None if age is None else stated_age(age),
        mask=None if mask is None else _locate(mask, index=index, confined=confined),
        **texts,
    )


def _locate(name: str, *, index: Path, confined: bool) -> Path:
    """The file that a cell names; backslashes separate folders where no file has that very name."""
    written = PurePosixPath(name)
    if confined and (written.is_absolute() or ".." in written.parts or "\\" in name):
        raise SourceError(f"{index} was downloaded and must name files within its own folder, names {name!r}")
    path = index.parent / name
    if "\\" in name and not path.exists():
        path = index.parent / name.replace("\\", "/")
    return path


def _text(value: object) -> str | None:
    """A cell as text, None where it says nothing. Whole numbers that pandas made fractions are whole again.

    >>> _text(" TB "), _text("NA"), _text(12.0), _text(float("nan"))
    ('TB', None, '12', None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return None if text.lower() in _UNKNOWN else text
