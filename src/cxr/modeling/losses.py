"""Training losses."""

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.contracts.recipe import LossRecipe, Recipe
from cxr.domain import TAXONOMY


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: float = 1.0,
    gamma: float = 2.0,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean focal loss -α w_c t_c (1 - p_c)^γ log p_c (Lin et al. 2017, eq. 5, for softmax).

    Args:
        logits: [n, c].
        labels: int64 [n].
        alpha: overall weight.
        gamma: focusing exponent, 0 gives cross-entropy.
        class_weights: [c], of the true class.
        label_smoothing: share of the target that is spread evenly over all classes.

    Returns:
        A scalar: weighted sum over films and classes divided by n.
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    classes = logits.shape[1]
    target = F.one_hot(labels, classes).to(log_p.dtype) * (1 - label_smoothing) + label_smoothing / classes
    loss = -(target * log_p)
    if gamma:
        loss = loss * (1 - log_p.exp()).clamp_min(1e-6) ** gamma
    per_film = loss.sum(dim=1)
    if class_weights is not None:
        per_film = per_film * class_weights[labels]
    return alpha * per_film.mean()


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Inverse-frequency weights [c] whose mean over the classes present is 1; a class without films weighs 0."""
    counts = torch.bincount(labels, minlength=classes).to(torch.float32)
    inverse = torch.where(counts > 0, 1 / counts.clamp_min(1), torch.zeros(()))
    return inverse * ((counts > 0).sum() / inverse.sum())


def class_weights(recipe: Recipe, labels: Tensor) -> Tensor:
    """What each class counts, [c], as the recipe has it: all the same where the sources are balanced already.

    Args:
        recipe: `loss.class_balance` and `sampling.balance` are read.
        labels: of the films that are learnt, int64 [n].
    """
    if recipe.sampling.balance == "sources" or not recipe.loss.class_balance:
        return torch.ones(len(TAXONOMY))
    return balanced_weights(labels, len(TAXONOMY))


def recipe_loss(loss: LossRecipe, logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """The loss that the recipe names."""
    focal = loss.kind == "focal"
    return focal_loss(
        logits,
        labels,
        alpha=loss.alpha if focal else 1.0,
        gamma=loss.gamma if focal else 0.0,
        class_weights=class_weights,
        label_smoothing=loss.label_smoothing,
    )
