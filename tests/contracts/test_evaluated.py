import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.contracts.evaluated import PREDICTIONS_FILE, predictions_frame, read_predictions, write_predictions
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.evaluation.calibration import softmax
from support.scored import FINDINGS, draw_logits


def frame(films=9):
    logits, labels, groups = draw_logits(films)
    rows = pd.DataFrame(
        {
            "image_id": [f"{number:064d}" for number in reversed(range(films))],
            "group_id": groups,
            "label": [None if number == 0 else FINDINGS[label] for number, label in enumerate(labels)],
            "source": "a",
        }
    )
    return predictions_frame(
        rows, split=Split.TEST, logits=logits, probabilities=softmax(logits), findings=FINDINGS
    ), logits


def test_predictions_are_read_back_sorted(tmp_path):
    written, logits = frame()
    write_predictions(tmp_path, written, FINDINGS)
    found = read_predictions(tmp_path)
    assert found["image_id"].is_monotonic_increasing
    assert list(found.columns) == [
        *("image_id", "group_id", "label", "split"),
        *(f"logit_{finding}" for finding in FINDINGS),
        *(f"probability_{finding}" for finding in FINDINGS),
        "decision",
    ]
    assert found["logit_Pneumonia"].tolist() == logits[::-1, 1].tolist()
    assert found["decision"].tolist() == [FINDINGS[number] for number in logits[::-1].argmax(axis=1)]
    assert found["label"].isna().sum() == 1
    assert set(found["split"]) == {"test"}
    probabilities = found[[f"probability_{finding}" for finding in FINDINGS]]
    assert probabilities.sum(axis=1).tolist() == pytest.approx([1.0] * 9)


def test_what_is_no_predictions_file_is_refused(tmp_path):
    with pytest.raises(ContractError, match="must exist"):
        read_predictions(tmp_path)
    (tmp_path / PREDICTIONS_FILE).write_text("nonsense")
    with pytest.raises(ContractError, match="must be a Parquet file"):
        read_predictions(tmp_path)
    pq.write_table(pa.table({"image_id": ["a"]}), tmp_path / PREDICTIONS_FILE)
    with pytest.raises(ContractError, match=r"must be of format cxr\.predictions/1"):
        read_predictions(tmp_path)
