"""The reference that live films are compared with."""

from typing import Literal

from cxr.contracts.bundle import OutOfDistribution
from cxr.contracts.files import Contract

REFERENCE_FILE = "reference.json"
ARRAYS_FILE = "reference.npz"


class DriftReference(Contract, frozen=True, kw_only=True):
    """`reference.json`: what `reference.npz` beside it holds, see `cxr.drift.reference.Reference`.

    Attributes:
        checkpoint: digest of the network that made the embeddings.
        index: digest of the study index.
        training_films: on which the projection was fitted.
        reference_films: validation films, which later films are compared with.
        features: length of an embedding.
        components: of the projection.
        explained_variance: share of the training embeddings' variance in the components.
        statistics: names of the image statistics, in order.
        findings: in the order of the logits.
    """

    version: Literal[1] = 1
    checkpoint: str
    index: str
    training_films: int
    reference_films: int
    features: int
    components: int
    explained_variance: float
    statistics: tuple[str, ...]
    findings: tuple[str, ...]
    out_of_distribution: OutOfDistribution
