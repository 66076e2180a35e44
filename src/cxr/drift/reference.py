"""The drift reference: a projection fitted on training embeddings, and the validation films seen through it."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.contracts.bundle import OutOfDistribution
from cxr.contracts.drift import ARRAYS_FILE, REFERENCE_FILE, DriftReference
from cxr.contracts.files import file_digest, read_json, write_bytes, write_json
from cxr.drift.statistics import STATISTICS
from cxr.errors import ContractError
from cxr.modeling.outputs import Outputs

VARIANCE = 0.95
"""Share of the training embeddings' variance that the components keep, …"""
MOST_COMPONENTS = 64
"""… unless that takes more than this: Alibi Detect's tests lose power with the number of features."""
QUANTILE = 0.99

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """Probabilistic PCA (Tipping & Bishop 1999) of d features to k components.

    Attributes:
        mean: [d], of the training embeddings.
        components: [k, d], orthonormal rows.
        scale: [k], standard deviation of the training embeddings along each component.
        residual: standard deviation along a direction outside the components.
    """

    mean: Floats
    components: Floats
    scale: Floats
    residual: float

    def project(self, embedding: Floats) -> Floats:
        """Whitened components [n, k] of embeddings [n, d]: the training films have mean 0 and variance 1."""
        whitened: Floats = (embedding - self.mean) @ self.components.T / self.scale
        return whitened
