"""What names the state that a killed step goes on from."""

import hashlib
from pathlib import Path

import msgspec

from cxr import __version__
from cxr.contracts.files import file_digest, value_digest
from cxr.contracts.recipe import AuditRecipe, EvaluationRecipe, Gate, Recipe
from cxr.contracts.search import SearchSpace
from cxr.contracts.studies import StudyIndex
from cxr.errors import TrainingError


def state_key(recipe: Recipe, index: StudyIndex, weights: Path | None, *, search: SearchSpace | None = None) -> str:
    """Names the state of one training or search: other choices, films or initial weights never resume from it.

    What is only measured or judged afterwards changes no weight and is left out, unless a search compares trials by it.

    Args:
        recipe: what is trained and how.
        index: of the films.
        weights: file of initial weights, or None.
        search: what of the search matters; nothing when None.
    """
    measured = EvaluationRecipe()
    if search is not None and search.objective == "worst_source_auroc":
        measured = EvaluationRecipe(unseen_share=recipe.evaluation.unseen_share)
    learnt = msgspec.structs.replace(
        recipe, search=search or SearchSpace(), evaluation=measured, audit=AuditRecipe(), gate=Gate()
    )
    parts = [__version__, value_digest(learnt), index.digest, file_digest(weights) if weights else ""]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:24]


def check_weights(weights: Path | None) -> None:
    """Raise `TrainingError` when a file of initial weights is named and is none."""
    if weights is not None and not weights.is_file():
        raise TrainingError(f"--weights must be a file, {weights} is none; give a .pth or .safetensors file")
