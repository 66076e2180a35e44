"""The evaluation of a checkpoint, for the steps that build on it."""

from pathlib import Path

from cxr.contracts.files import read_json
from cxr.contracts.metrics import CALIBRATION_FILE, METRICS_FILE, Calibration, MetricsReport
from cxr.errors import ContractError
from cxr.modeling.checkpoint import Checkpoint


def check_evaluation(evaluation: Path, model: Checkpoint) -> None:
    """Check that an evaluation is of this checkpoint; raises `ContractError` otherwise, or where it cannot be read."""
    evaluated = read_json(evaluation / METRICS_FILE, MetricsReport).model
    if evaluated != model.digest:
        raise ContractError(
            f"{evaluation} must be of checkpoint {model.digest[:12]}, is of {evaluated[:12]}; run `cxr evaluate` again"
        )


def read_calibration(evaluation: Path, model: Checkpoint) -> Calibration:
    """The calibration of this checkpoint; raises `ContractError` where it is of another, or cannot be read."""
    check_evaluation(evaluation, model)
    return read_json(evaluation / CALIBRATION_FILE, Calibration)
