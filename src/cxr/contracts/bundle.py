"""The bundle: the one folder that is served. Its SHA-256 is its identity in every log, response and registry entry."""

from typing import Literal

from cxr.contracts.files import Contract
from cxr.contracts.metrics import Calibration
from cxr.contracts.recipe import Preprocessing

BUNDLE_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
DRIFT_FOLDER = "drift"
REPORTS_FOLDER = "reports"
MODEL_CARD_FILE = "MODEL_CARD.md"


class TensorSpec(Contract, frozen=True, kw_only=True):
    """A tensor of the ONNX graph; -1 is the batch. Input values are grey levels 0..1 before `mean` and `std`."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class OutOfDistribution(Contract, frozen=True, kw_only=True):
    """Films whose embedding is farther than `limit` from the training films are refused.

    The distance is Euclidean in the whitened PCA space of `drift/reference.npz` (Mahalanobis distance on the kept
    components); `quantile` of the validation films lie within the limit.
    """

    limit: float
    quantile: float


class Provenance(Contract, frozen=True, kw_only=True):
    """Where a bundle comes from. Digests are SHA-256."""

    created: str
    cxr_version: str
    index: str
    checkpoint: str
    recipe: str
    training_films: int
    training_sources: tuple[str, ...]
    initial_weights: str


class BundleManifest(Contract, frozen=True, kw_only=True):
    """`bundle.json`.

    Attributes:
        files: relative name to SHA-256 of every other file of the bundle; the bundle's own digest is that of this file.
        outputs: logits, embedding, maps (class-activation maps, one per finding).
    """

    version: Literal[1] = 1
    architecture: str
    findings: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: Calibration
    out_of_distribution: OutOfDistribution
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provenance: Provenance
    files: dict[str, str]
