"""What Kubeflow's own pages show of an evaluation."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cxr.contracts.evaluated import read_predictions
from cxr.contracts.metrics import Estimate
from cxr.domain import Split
from cxr.evaluation.discrimination import roc_curve

POINTS = 200


def roc_points(evaluation: Path, *, finding: str) -> tuple[list[float], list[float], list[float]]:
    """False positive rate, sensitivity and threshold of `finding` against the rest on the labelled test films.

    At most `POINTS` operating points, evenly spread over all, since Kubeflow keeps them in its metadata. Thresholds are
    finite: calling nothing is at 1. Empty lists when films with or without the finding are missing.
    """
    predictions = read_predictions(evaluation)
    films = predictions[(predictions["split"] == str(Split.TEST)) & predictions["label"].notna()]
    positive = (films["label"] == finding).to_numpy(dtype=bool)
    if positive.all() or not positive.any():
        return [], [], []
    curve = np.minimum(roc_curve(films[f"probability_{finding}"].to_numpy(), positive), 1.0)
    kept = np.unique(np.linspace(0, curve.shape[1] - 1, POINTS).round().astype(int))
    false_positives, sensitivity, threshold = curve[:, kept].tolist()
    return false_positives, sensitivity, threshold


def defined(estimates: Mapping[str, Estimate], *, prefix: str = "") -> dict[str, float]:
    """Values of the estimates that are defined: Kubeflow's metadata cannot hold a null."""
    return {f"{prefix}{name}": found.value for name, found in estimates.items() if found.value is not None}
