"""predictions.parquet: what a model said of every evaluated film."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.contracts.files import write_bytes
from cxr.domain import Split
from cxr.errors import ContractError

PREDICTIONS_FILE = "predictions.parquet"
FORMAT = "cxr.predictions/1"


def predictions_schema(findings: Sequence[str]) -> pa.Schema:
    """Columns: image_id, group_id, label (null where unknown), split, logit_<finding>, probability_<finding>, decision.

    Logits are the network's own; probabilities are theirs after the temperature. Rows are sorted by `image_id`.
    """
    return pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("group_id", pa.string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("split", pa.string(), nullable=False),
            *(pa.field(f"logit_{finding}", pa.float32(), nullable=False) for finding in findings),
            *(pa.field(f"probability_{finding}", pa.float64(), nullable=False) for finding in findings),
            pa.field("decision", pa.string(), nullable=False),
        ],
        metadata={"format": FORMAT},
    )


def predictions_frame(
    films: pd.DataFrame,
    *,
    split: Split,
    logits: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float64],
    findings: Sequence[str],
) -> pd.DataFrame:
    """The rows of one split.

    Args:
        films: rows of a study index.
        split: theirs.
        logits: [n, c].
        probabilities: [n, c].
        findings: in the order of both.
    """
    rows = films[["image_id", "group_id", "label"]].assign(split=str(split))
    for number, finding in enumerate(findings):
        rows[f"logit_{finding}"] = logits[:, number]
    for number, finding in enumerate(findings):
        rows[f"probability_{finding}"] = probabilities[:, number]
    return rows.assign(decision=np.array(findings, dtype=object)[probabilities.argmax(axis=1)])


def write_predictions(folder: Path, predictions: pd.DataFrame, findings: Sequence[str]) -> None:
    """Write `folder/predictions.parquet`, whole or not at all."""
    schema = predictions_schema(findings)
    table = pa.Table.from_pandas(predictions.sort_values("image_id"), schema=schema, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(schema.metadata), buffer)
    write_bytes(folder / PREDICTIONS_FILE, buffer.getvalue())


def read_predictions(folder: Path) -> pd.DataFrame:
    """Read `folder/predictions.parquet`; raises `ContractError` when it is missing, malformed or of another version."""
    path = folder / PREDICTIONS_FILE
    if not path.is_file():
        raise ContractError(f"{path} must exist: run `cxr evaluate` first")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ContractError(f"{path} must be a Parquet file: {error}; run `cxr evaluate` again") from error
    found = (table.schema.metadata or {}).get(b"format", b"none").decode()
    if found != FORMAT:
        raise ContractError(f"{path} must be of format {FORMAT}, is of {found}; run `cxr evaluate` again")
    predictions: pd.DataFrame = table.to_pandas(types_mapper={pa.string(): pd.StringDtype()}.get)
    return predictions
