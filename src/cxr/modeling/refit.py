"""Fitting the linear head again when training is over: last-layer retraining (Kirichenko et al. 2023)."""

import logging
import time

import numpy as np
import numpy.typing as npt
import torch

from cxr.contracts.recipe import Recipe
from cxr.domain import TAXONOMY
from cxr.modeling.dataset import FilmArray
from cxr.modeling.inference import infer
from cxr.modeling.losses import balanced_weights
from cxr.modeling.network import Network
from cxr.modeling.sampling import balanced_chances
from cxr.progress import progress

logger = logging.getLogger(__name__)

_STRENGTH = 0.3
"""scikit-learn's C times the number of films, for standardised features and weights of mean 1: the penalty weighs as
much against 500 films as against 50,000. Chosen on withheld sources: ADR 24."""
_ITERATIONS = 5000
_PART = 512
_STEADY = 1e-3
"""Added to the spread of a feature, so that one that hardly moves is not blown up."""


def refit_head(network: Network, recipe: Recipe, train: FilmArray) -> float:
    """Fit the head to the features of labelled films, which training leaves as they are; return the seconds it took.

    Films are learnt as they are, and mirrored where the recipe mirrors films, but not augmented otherwise. Phantoms are
    left out. The features have learnt from both.

    Args:
        network: trained; its head is changed in place.
        recipe: how films are weighed.
        train: films with labels; every class of the taxonomy occurs.
    """
    from sklearn.linear_model import LogisticRegression

    start = time.perf_counter()
    views = [train.films, train.films[:, :, ::-1]] if recipe.augmentation.flip else [train.films]
    features = np.concatenate([_features(network, films) for films in views])
    mean, spread = features.mean(axis=0), features.std(axis=0) + _STEADY
    regression = LogisticRegression(C=_STRENGTH / len(features), max_iter=_ITERATIONS).fit(
        (features - mean) / spread,
        np.tile(train.labels, len(views)),
        sample_weight=np.tile(_film_weights(train, recipe), len(views)),
    )
    weight = regression.coef_ / spread
    bias = regression.intercept_ - weight @ mean
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weight))
        network.head.bias.copy_(torch.from_numpy(bias))
    seconds = time.perf_counter() - start
    logger.info("head fitted again", extra={"films": len(train), "views": len(views), "seconds": round(seconds, 1)})
    return seconds


def _features(network: Network, films: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the head reads of films, float32 [n, d]."""
    read = []
    with progress("fit the head again", len(films)) as advance:
        for start in range(0, len(films), _PART):
            read.append(infer(network, films[start : start + _PART]).embedding)
            advance(len(read[-1]))
    return np.concatenate(read)


def _film_weights(films: FilmArray, recipe: Recipe) -> npt.NDArray[np.float64]:
    """What each film counts, [n], mean 1: as `sampling.balance` and `loss.class_balance` have it in training."""
    weights = np.ones(len(films))
    if recipe.sampling.balance == "sources":
        weights = balanced_chances(films.labels, films.sources)
    elif recipe.loss.class_balance:
        classes = balanced_weights(torch.from_numpy(films.labels), len(TAXONOMY)).double().numpy()
        weights = classes[films.labels]
    mean_one: npt.NDArray[np.float64] = weights / weights.mean()
    return mean_one
