"""Synthetic predictions: labelled films with logits of a chosen quality, patients with several films, ties."""

import numpy as np

from cxr.domain import TAXONOMY
from cxr.evaluation.scored import ScoredFilms

FINDINGS = TAXONOMY.findings


def draw_logits(films: int, *, quality: float = 2.0, seed: int = 0, findings: int = 3):
    """Logits float32 [n, 3], labels [n] of the first `findings` findings, and the patient of each film."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, findings, films)
    logits = rng.normal(size=(films, 3)) + quality * np.eye(3)[labels]
    groups = [f"patient {number}" for number in rng.integers(0, max(1, films * 2 // 3), films)]
    return logits.astype(np.float32), labels, groups


def draw_films(
    films: int, *, quality: float = 2.0, seed: int = 0, findings: int = 3, decimals: int | None = None
) -> ScoredFilms:
    """Scored films; `decimals` rounds the logits, which makes ties."""
    logits, labels, groups = draw_logits(films, quality=quality, seed=seed, findings=findings)
    if decimals is not None:
        logits = logits.round(decimals)
    return ScoredFilms.from_logits(logits, labels, groups, temperature=1.0, findings=FINDINGS)
