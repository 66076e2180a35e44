"""Gates that let every picture pass, for tests whose films are noise."""

from pathlib import Path

import numpy as np

from cxr.contracts.bundle import PICTURES, PictureGate
from cxr.contracts.gate import GateReport
from cxr.imaging.gate import Gate, Perceptron, write_gate
from cxr.imaging.gate.layout import LENGTH

OPEN = PictureGate(refuse_below=-1.0, refer_below=-1.0, refused_share=0.0, referred_share=0.0)
"""Under the log-odds of every picture, which are 0."""


def open_gate(limits: PictureGate = OPEN) -> Gate:
    """A gate that gives every picture the log-odds 0; `limits` may still refer or refuse all of them."""
    bias = np.array([np.log(len(PICTURES) - 1), *[0.0] * (len(PICTURES) - 1)], np.float32)
    perceptron = Perceptron(
        hidden_weight=np.zeros((LENGTH, 1), np.float32),
        hidden_bias=np.zeros(1, np.float32),
        weight=np.zeros((1, len(PICTURES)), np.float32),
        bias=bias,
    )
    return Gate(perceptron=perceptron, limits=limits)


def write_open_gate(folder: Path, *, checkpoint: str, index: str, limits: PictureGate = OPEN) -> None:
    """The folder that `cxr fit-gate` would write."""
    report = GateReport(
        checkpoint=checkpoint, index=index, features=LENGTH, hidden=1, training_pictures=0, limits=limits, test=()
    )
    write_gate(folder, open_gate(limits), report)
