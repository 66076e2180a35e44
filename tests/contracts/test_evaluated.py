import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.contracts.evaluated import FORMAT, predictions_frame, predictions_schema, read_predictions, write_predictions
from cxr.domain import TAXONOMY, Split
from cxr.errors import ContractError


def frame(films=4):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(films, 3)).astype(np.float32)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    rows = pd.DataFrame(
        {
            "image_id": [f"{films - number}" for number in range(films)],
            "group_id": "g",
            "label": [None, *["Normal"] * (films - 1)],
            "age": 3.0,
        }
    )
    found = predictions_frame(
        rows, split=Split.TEST, logits=logits, probabilities=probabilities, findings=TAXONOMY.findings
    )
    return found, logits, probabilities


def test_what_is_written_is_read_in_the_order_of_the_images(tmp_path):
    written, logits, probabilities = frame()
    write_predictions(tmp_path, written, TAXONOMY.findings)
    read = read_predictions(tmp_path)
    assert list(read.columns) == predictions_schema(TAXONOMY.findings).names
    assert read["image_id"].tolist() == ["1", "2", "3", "4"]
    assert set(read["split"]) == {"test"}
    assert read["label"].isna().tolist() == [False, False, False, True]
    np.testing.assert_array_equal(read[[f"logit_{finding}" for finding in TAXONOMY]].to_numpy(), logits[::-1])
    np.testing.assert_array_equal(
        read[[f"probability_{finding}" for finding in TAXONOMY]].to_numpy(), probabilities[::-1]
    )
    assert read["decision"].tolist() == [TAXONOMY.findings[winner] for winner in logits[::-1].argmax(1)]


def parquet(metadata):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image_id": ["a"]}).replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must exist: run `cxr evaluate`"),
        (b"image_id,decision", "must be a Parquet file"),
        (parquet(None), f"must be of format {FORMAT}, is of none"),
        (parquet({"format": "cxr.predictions/9"}), "is of cxr.predictions/9; run `cxr evaluate` again"),
    ],
)
def test_a_file_that_holds_no_predictions_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "predictions.parquet").write_bytes(content)
    with pytest.raises(ContractError, match=message):
        read_predictions(tmp_path)
