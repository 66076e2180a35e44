"""How many test films a model refers to a radiologist, and how it does on the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """Films of one split.

    Attributes:
        films: with a label.
        referred: of them, those whose highest probability is under the limit.
        decided_right: of those not referred, those decided rightly.
        referred_right: of those referred, those that would have been decided rightly.
    """

    films: int
    referred: int
    decided_right: int
    referred_right: int

    @property
    def decided(self) -> int:
        """Films not referred."""
        return self.films - self.referred


def count_referred(predictions: pd.DataFrame, *, split: str, findings: Sequence[str], refer_below: float) -> Abstention:
    """Count the films of a split that are referred.

    Args:
        predictions: `evaluation/predictions.parquet`.
        split: whose films are counted.
        findings: in the order of the probabilities.
        refer_below: films whose highest probability is under it are referred.
    """
    films = predictions[(predictions["split"] == split) & predictions["label"].notna()]
    referred = films[[f"probability_{finding}" for finding in findings]].max(axis=1) < refer_below
    right = films["label"] == films["decision"]
    return Abstention(
        films=len(films),
        referred=int(referred.sum()),
        decided_right=int((right & ~referred).sum()),
        referred_right=int((right & referred).sum()),
    )
