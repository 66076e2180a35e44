"""Fitting the linear head again when training is over: last-layer retraining (Kirichenko et al. 2023).

The same fit without the films of one source says what a head makes of a source that it does not know.
"""

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cxr.contracts.recipe import Recipe
from cxr.domain import TAXONOMY
from cxr.modeling.dataset import FilmArray
from cxr.modeling.inference import infer
from cxr.modeling.losses import class_weights
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
    start = time.perf_counter()
    views = _views(network, recipe, train)
    head = _fitted(views, train.labels, _film_weights(train.labels, train.sources, recipe))
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
    seconds = time.perf_counter() - start
    logger.info("head fitted again", extra={"films": len(train), "views": len(views), "seconds": round(seconds, 1)})
    return seconds


class UnseenReading(NamedTuple):
    """What heads say of m films of sources that they do not know.

    Attributes:
        logits: float32 [m, c].
        labels: int64 [m].
    """

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def read_unseen(network: Network, recipe: Recipe, train: FilmArray, validation: FilmArray) -> UnseenReading:
    """Read validation films of each source with a head that was fitted without the films of that source.

    The features know the source; the head is fitted as `refit_head` fits it. Passed over are a source that no head can
    do without, because it has the only films of a finding, and sources without training films.

    Args:
        network: trained, its own head fitted by `refit_head`; left as it is.
        recipe: how films are weighed.
        train: what the network and its head were fitted to.
        validation: other films with labels, in part of the same sources.
    """
    learnt, asked = np.array(train.sources), np.array(validation.sources)
    logits, labels = [np.zeros((0, len(TAXONOMY)), np.float32)], [np.zeros(0, np.int64)]
    sources = _dispensable(train.labels, learnt)
    views = _views(network, recipe, train) if sources else []
    for source in sources:
        others, rows = np.flatnonzero(learnt != source), np.flatnonzero(asked == source)
        weights = _film_weights(train.labels[others], learnt[others].tolist(), recipe)
        head = _fitted([view[others] for view in views], train.labels[others], weights)
        features = _features(network, validation.films[rows])
        logits.append((features @ head.weight.T + head.bias).astype(np.float32))
        labels.append(validation.labels[rows])
    return UnseenReading(np.concatenate(logits), np.concatenate(labels))


class _Head(NamedTuple):
    weight: npt.NDArray[np.float64]
    """[c, d]"""
    bias: npt.NDArray[np.float64]
    """[c]"""


def _fitted(
    views: Sequence[npt.NDArray[np.float32]], labels: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
) -> _Head:
    """The head for views of n films, each features [n, d], and for labels and weights [n]."""
    from sklearn.linear_model import LogisticRegression

    features = np.concatenate(views)
    mean, spread = features.mean(axis=0), features.std(axis=0) + _STEADY
    regression = LogisticRegression(C=_STRENGTH / len(features), max_iter=_ITERATIONS).fit(
        (features - mean) / spread, np.tile(labels, len(views)), sample_weight=np.tile(weights, len(views))
    )
    weight = regression.coef_ / spread
    return _Head(weight, regression.intercept_ - weight @ mean)


def _dispensable(labels: npt.NDArray[np.int64], sources: npt.NDArray[np.str_]) -> list[str]:
    """Sources without which every finding still occurs, of labels and sources [n]."""
    return [str(source) for source in np.unique(sources) if len(np.unique(labels[sources != source])) == len(TAXONOMY)]


def _views(network: Network, recipe: Recipe, films: FilmArray) -> list[npt.NDArray[np.float32]]:
    """Features of films as they are, and mirrored where the recipe mirrors films."""
    mirrored = [films.films[:, :, ::-1]] if recipe.augmentation.flip else []
    return [_features(network, view) for view in (films.films, *mirrored)]


def _features(network: Network, films: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the head reads of films, float32 [n, d]."""
    read = [np.zeros((0, network.head.in_features), np.float32)]
    with progress("features", len(films)) as advance:
        for start in range(0, len(films), _PART):
            read.append(infer(network, films[start : start + _PART]).embedding)
            advance(len(read[-1]))
    return np.concatenate(read)


def _film_weights(labels: npt.NDArray[np.int64], sources: Sequence[str], recipe: Recipe) -> npt.NDArray[np.float64]:
    """What each film counts, [n], mean 1: as `sampling.balance` and `loss.class_balance` have it in training."""
    if recipe.sampling.balance == "sources":
        weights = balanced_chances(labels, sources)
    else:
        weights = class_weights(recipe, torch.from_numpy(labels)).double().numpy()[labels]
    mean_one: npt.NDArray[np.float64] = weights / weights.mean()
    return mean_one
