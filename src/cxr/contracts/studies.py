"""The study index: one row per film, beside `images/<image_id>.png` and, where it is known, `masks/<image_id>.png`."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.contracts.files import write_bytes
from cxr.domain import TAXONOMY, AgeGroup, Sex, Split, View
from cxr.errors import ContractError

INDEX_FILE = "index.parquet"
IMAGES_FOLDER = "images"
MASKS_FOLDER = "masks"
FORMAT = "cxr.studies/1"

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string()),
        pa.field("study_id", pa.string()),
        pa.field("label", pa.string()),
        pa.field("source", pa.string()),
        pa.field("view", pa.string()),
        pa.field("sex", pa.string()),
        pa.field("age", pa.float32()),
        pa.field("age_group", pa.string()),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ],
    metadata={"format": FORMAT},
)

_VOCABULARY: dict[str, set[str]] = {
    "label": set(TAXONOMY.findings),
    "view": {str(v) for v in View},
    "sex": {str(v) for v in Sex},
    "age_group": {str(v) for v in AgeGroup},
    "split": {str(v) for v in Split},
}


@dataclass(frozen=True, eq=False)
class StudyIndex:
    """A validated index, sorted by `image_id`.

    Attributes:
        films: one row per film with the columns of `SCHEMA`. `group_id` joins films that must stay on one side of a
            split: those of one patient or study, and look-alikes. Unknown is null.
    """

    films: pd.DataFrame

    def __post_init__(self) -> None:
        object.__setattr__(self, "films", _validated(self.films))

    def __len__(self) -> int:
        return len(self.films)

    @classmethod
    def read(cls, folder: Path) -> "StudyIndex":
        """Read `folder/index.parquet`; raises `ContractError` when it is missing, malformed or of another version."""
        path = folder / INDEX_FILE
        if not path.is_file():
            raise ContractError(f"{path} must exist: run `cxr ingest` (and `cxr split`) first")
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ContractError(f"{path} must be a Parquet file: {error}; run the step that writes it again") from error
        found = (table.schema.metadata or {}).get(b"format", b"none").decode()
        if found != FORMAT:
            raise ContractError(f"{path} must be of format {FORMAT}, is of {found}; run `cxr ingest` again")
        return cls(table.to_pandas(types_mapper={pa.string(): pd.StringDtype()}.get))

    def write(self, folder: Path) -> None:
        """Write `folder/index.parquet`, whole or not at all."""
        table = pa.Table.from_pandas(self.films, schema=SCHEMA, preserve_index=False).replace_schema_metadata(
            SCHEMA.metadata
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        write_bytes(folder / INDEX_FILE, buffer.getvalue())

    @staticmethod
    def lies_in(folder: Path) -> bool:
        """Whether `folder/index.parquet` is a study index of any version, rather than someone's own table."""
        path = folder / INDEX_FILE
        try:
            metadata = pq.read_schema(path).metadata if path.is_file() else None
        except (pa.ArrowInvalid, OSError):
            return False
        found: bytes = (metadata or {}).get(b"format", b"")
        return found.startswith(FORMAT.partition("/")[0].encode())

    @property
    def digest(self) -> str:
        """SHA-256 of all rows."""
        return hashlib.sha256(self.films.to_csv(index=False).encode()).hexdigest()

    def part(self, split: Split) -> "StudyIndex":
        """The films of one split; raises `ContractError` when there are none."""
        films = self.films[self.films["split"] == split]
        if films.empty:
            raise ContractError(f"the index must have films of split '{split}', has none; run `cxr split` first")
        return StudyIndex(films)


def _validated(films: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in SCHEMA.names if name not in films.columns]
    unknown = [name for name in films.columns if name not in SCHEMA.names]
    if missing or unknown:
        raise ContractError(
            f"a study index must have exactly the columns {SCHEMA.names}; missing {missing}, unknown {unknown}"
        )
    films = films[SCHEMA.names].astype({field.name: _dtype(field) for field in SCHEMA})
    for field in SCHEMA:
        column = films[field.name]
        if not field.nullable and column.isna().any():
            raise ContractError(f"column {field.name} of a study index must not be null")
        if pa.types.is_string(field.type) and (column == "").any():
            raise ContractError(f'column {field.name} of a study index must be null where unknown, never ""')
    for name, words in _VOCABULARY.items():
        strange = sorted(set(films[name].dropna()) - words)
        if strange:
            raise ContractError(f"column {name} of a study index must be one of {sorted(words)}, has {strange[:5]}")
    if films["image_id"].duplicated().any():
        raise ContractError("image_id of a study index must be unique: ingestion removes exact duplicates")
    return films.sort_values("image_id", ignore_index=True)


def _dtype(field: pa.Field) -> object:
    if pa.types.is_string(field.type):
        return pd.StringDtype()
    return "float32" if pa.types.is_floating(field.type) else "int32"
