"""Whether probabilities mean what they say, and the temperature that makes them."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.evaluation.arrays import Floats, Ints, ratio, weighted_mean

BINS = 15
_TEMPERATURES = (0.05, 20.0)


def softmax(logits: npt.NDArray[np.floating], *, temperature: float = 1.0) -> Floats:
    """Probabilities float64 [n, c] from logits [n, c] divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


class LabelledLogits(NamedTuple):
    """Logits [n, c] of films and their labels, int64 [n]."""

    logits: npt.NDArray[np.floating]
    labels: Ints


def fit_shared_temperature(known: LabelledLogits, unseen: LabelledLogits | None, *, unseen_share: float) -> float:
    """One temperature for films of known sources and of others, by the share of the likelihood that each side has.

    A temperature of known sources alone is too sharp wherever a network meets another one. Fitting it to several
    sources at once is due to Yu et al. (2022, "Robust calibration with multi-domain temperature scaling").

    Args:
        known: validation films, whose sources the network knows.
        unseen: films as read by what does not know their sources; without any, `known` alone counts.
        unseen_share: 0 leaves `unseen` out, 1 leaves `known` out.
    """
    if unseen is None or not len(unseen.labels) or not unseen_share:
        return fit_temperature(known.logits, known.labels)
    shares = ((known, 1 - unseen_share), (unseen, unseen_share))
    total = len(known.labels) + len(unseen.labels)
    return fit_temperature(
        np.concatenate([films.logits for films, _ in shares]),
        np.concatenate([films.labels for films, _ in shares]),
        weights=np.concatenate(
            [np.full(len(films.labels), total * share / len(films.labels)) for films, share in shares]
        ),
    )


def fit_temperature(
    logits: npt.NDArray[np.floating],
    labels: Ints,
    *,
    weights: Floats | None = None,
    prior_films: float = 1.0,
) -> float:
    """The temperature that minimises the negative log-likelihood of labelled films (Guo et al. 2017).

    The likelihood is convex in 1/temperature, so its derivative is bisected. When the films hold no error it has no
    minimum; like Platt (1999) we soften the targets, by the weight of `prior_films` films that could be of any finding.

    Args:
        logits: [n, c] of validation films.
        labels: int64 [n].
        weights: of the films, [n], whose sum is n; all alike when None.
        prior_films: 0 gives the plain maximum of the likelihood.

    Returns:
        A temperature in 0.05..20.
    """
    scores = logits.astype(np.float64)
    unknown = prior_films / (len(labels) + prior_films)
    rows = np.arange(len(labels))
    target = np.average((1 - unknown) * scores[rows, labels] + unknown * scores.mean(axis=1), weights=weights)

    def too_sharp(sharpness: float) -> bool:
        expected = (softmax(scores, temperature=1 / sharpness) * scores).sum(axis=1)
        return bool(np.average(expected, weights=weights) > target)

    low, high = (math.log(1 / temperature) for temperature in reversed(_TEMPERATURES))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if too_sharp(math.exp(middle)) else (middle, high)
    return math.exp(-(low + high) / 2)


def equal_mass_bins(confidence: Floats, *, bins: int = BINS) -> Ints:
    """Number of the bin of each film, int64 [n] in 0..bins-1: quantiles of the confidence, ties in one bin."""
    inner = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(inner, confidence, side="right").astype(np.int64)


def expected_calibration_error(probabilities: Floats, labels: Ints, weights: Floats, *, bins: int = BINS) -> Floats:
    """Mean gap between the confidence in the decision and how often it is right, over bins of equal mass.

    Bins of equal mass are less biased than those of equal width (Roelofs et al. 2022), of which a good classifier fills
    one. They are quantiles of the films as they are and stay the same for every weighting.

    Args:
        probabilities: float64 [n, c].
        labels: int64 [n].
        weights: float64 [b, n].
        bins: number of bins.

    Returns:
        float64 [b] in 0..1.
    """
    confidence = probabilities.max(axis=1)
    gap = confidence - (probabilities.argmax(axis=1) == labels)
    places = np.zeros((len(labels), bins))
    places[np.arange(len(labels)), equal_mass_bins(confidence, bins=bins)] = gap
    return ratio(np.abs(weights @ places).sum(axis=1), weights.sum(axis=1))


def brier(probabilities: Floats, labels: Ints, weights: Floats) -> Floats:
    """Mean squared distance between probabilities and truth, summed over findings: [b] in 0..2 (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return weighted_mean(((probabilities - truth) ** 2).sum(axis=1), weights)


def log_loss(probabilities: Floats, labels: Ints, weights: Floats) -> Floats:
    """Mean negative logarithm of the probability of the true finding, [b], nats."""
    given = probabilities[np.arange(len(labels)), labels]
    return weighted_mean(-np.log(np.maximum(given, np.finfo(np.float64).eps)), weights)
