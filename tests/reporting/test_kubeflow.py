"""The curve that Kubeflow draws against scikit-learn's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, roc_auc_score

from cxr.contracts.evaluated import write_predictions
from cxr.contracts.metrics import Estimate
from cxr.reporting.kubeflow import POINTS, defined, roc_points

FINDINGS = ("Normal", "Tuberculosis")


def write(folder: Path, *, films: int, labels: list[str | None], split: str = "test") -> pd.DataFrame:
    rng = np.random.default_rng(3)
    label = np.array(labels, dtype=object)[np.arange(films) % len(labels)]
    probability = np.clip(rng.normal(0.4, 0.2, films) + 0.2 * (label == "Tuberculosis"), 0, 1).round(3)
    table = pd.DataFrame(
        {
            "image_id": [f"{number:064d}" for number in range(films)],
            "group_id": "g",
            "label": label,
            "split": [split if number % 7 else "validation" for number in range(films)],
            **{f"logit_{finding}": np.float32(0) for finding in FINDINGS},
            "probability_Normal": 1 - probability,
            "probability_Tuberculosis": probability,
            "decision": "Normal",
        }
    )
    write_predictions(folder, table, FINDINGS)
    return table


@pytest.mark.parametrize("films", [30, 5000])
def test_the_curve_is_that_of_the_labelled_test_films(tmp_path: Path, films: int) -> None:
    table = write(tmp_path, films=films, labels=["Normal", "Tuberculosis", None])
    false_positives, sensitivity, threshold = roc_points(tmp_path, finding="Tuberculosis")
    test = table[(table["split"] == "test") & table["label"].notna()]
    area = roc_auc_score(test["label"] == "Tuberculosis", test["probability_Tuberculosis"])
    assert auc(false_positives, sensitivity) == pytest.approx(area, abs=1e-3)
    assert len(threshold) == len(sensitivity) <= POINTS
    assert (false_positives[0], sensitivity[0], false_positives[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert max(threshold) <= 1


@pytest.mark.parametrize("labels", [["Normal"], ["Tuberculosis", None]])
def test_without_both_kinds_of_films_there_is_no_curve(tmp_path: Path, labels: list[str | None]) -> None:
    write(tmp_path, films=30, labels=labels)
    assert roc_points(tmp_path, finding="Tuberculosis") == ([], [], [])


def test_undefined_estimates_are_left_out() -> None:
    estimates = {"a": Estimate(value=0.5, low=0.4, high=0.6), "b": Estimate(value=None, reason="no film")}
    assert defined(estimates, prefix="clinical_") == {"clinical_a": 0.5}
