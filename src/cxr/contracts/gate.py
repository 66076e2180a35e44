"""The gate before the network: which pictures are upright frontal chest films at all."""

from typing import Literal

from cxr.contracts.bundle import PictureGate
from cxr.contracts.files import Contract

GATE_FILE = "gate.json"
GATE_WEIGHTS_FILE = "gate.npz"


class PictureCount(Contract, frozen=True, kw_only=True):
    """What the gate said of pictures of one kind that took no part in fitting it.

    Attributes:
        kind: "film", a way in which films were made worse, or a kind of `cxr.imaging.gate.examples.KINDS`.
        pictures: how many there were.
        refused, referred: how many of them.
    """

    kind: str
    pictures: int
    refused: int
    referred: int


class GateReport(Contract, frozen=True, kw_only=True):
    """`gate.json`: what `gate.npz` beside it holds, see `cxr.imaging.gate.Gate`.

    Attributes:
        checkpoint: digest of the checkpoint whose preprocessing the films went through; the network is not used.
        index: digest of the study index.
        features: numbers that describe a picture.
        hidden: units of the hidden layer.
        training_pictures: on which it was fitted, films and others.
        limits: chosen on validation films.
        test: counts on test films, on test films made worse, and on pictures made of them that are to be refused.
    """

    version: Literal[1] = 1
    checkpoint: str
    index: str
    features: int
    hidden: int
    training_pictures: int
    limits: PictureGate
    test: tuple[PictureCount, ...]
