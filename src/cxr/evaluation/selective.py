"""Selective prediction: decide where the model is sure, refer the rest (Geifman & El-Yaniv 2017)."""

from collections.abc import Mapping
from itertools import takewhile

import numpy as np

from cxr.contracts.metrics import Estimate, SelectiveReport
from cxr.evaluation.arrays import Floats, Ints, Mask, ratio, weighted_mean
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate, share_limit
from cxr.evaluation.calibration import expected_calibration_error
from cxr.evaluation.counting import upper_share
from cxr.evaluation.scored import ScoredFilms

MOST_REFERRED = 0.5
"""Share of the validation films that a limit refers at most: a model that needs more is of no use as it is."""


def fit_referral(films: ScoredFilms, *, error: float, confidence: float) -> tuple[float, float]:
    """The confidence under which films are referred, and the upper limit of the error above it.

    A limit chosen because few of the films above it *happen* to be wrong promises too much: on other films more of them
    are, about half of the time more than was asked for. So a limit is accepted when the upper confidence limit of the
    share of wrong decisions is at most `error`. Limits are tested from the strictest, which refers half of the films,
    downward until one is not accepted, which needs no correction for the number of tests (fixed-sequence testing, as in
    Learn then Test: Angelopoulos et al. 2021). Films of one patient count as one when it comes to how sure we are.

    Where not even the strictest is accepted, the limit is the one with the smallest upper confidence limit.

    Args:
        films: validation films.
        error: share of wrong decisions to tolerate among the films that are not referred.
        confidence: of the upper limit.

    Returns:
        A limit on the highest probability, 0 when nothing has to be referred; and the upper limit of the error there.
    """
    sureness = films.probabilities.max(axis=1)
    order = np.argsort(-sureness, kind="stable")
    falling = sureness[order]
    wrong = np.cumsum(films.decisions[order] != films.labels[order])
    patients = np.cumsum(_first_of_patient(films.patients[order]))
    ends = np.append(np.flatnonzero(np.diff(falling) < 0), len(films) - 1)
    ends = ends[ends + 1 >= (1 - MOST_REFERRED) * len(films)]

    def bound(end: int) -> float:
        there = int(patients[end])
        return upper_share(hits=wrong[end] / (end + 1) * there, trials=there, confidence=confidence)

    accepted = list(takewhile(lambda tested: tested[1] <= error, ((int(end), bound(end)) for end in ends)))
    end, highest = accepted[-1] if accepted else min(((int(end), bound(end)) for end in ends), key=lambda it: it[1])
    if end == len(films) - 1:
        return 0.0, highest
    decided, referred = falling[end], falling[end + 1]
    # half-way between neighbouring numbers may round to the lower one, whose film would then be decided as well
    return float(max((decided + referred) / 2, np.nextafter(referred, 1.0))), highest


def risk_coverage(films: ScoredFilms, weights: Floats) -> tuple[Floats, Floats]:
    """Share of films decided and share of those decided wrongly, both [b, n], as the limit on the confidence falls.

    Films of equal confidence are decided together: each has the values of the last of them.

    Args:
        films: n of them.
        weights: [b, n].
    """
    sureness = films.probabilities.max(axis=1)
    order = np.argsort(-sureness, kind="stable")
    falling = sureness[order]
    last = np.searchsorted(-falling, -falling, side="right") - 1
    decided = np.cumsum(weights[:, order], axis=1)[:, last]
    wrong = np.cumsum(weights[:, order] * (films.decisions != films.labels)[order], axis=1)[:, last]
    return ratio(decided, weights.sum(axis=1, keepdims=True)), ratio(wrong, decided)


def aurc(films: ScoredFilms, weights: Floats) -> Floats:
    """Area under the risk-coverage curve, [b]: the mean over films of the error at their own confidence and above."""
    _, risk = risk_coverage(films, weights)
    order = np.argsort(-films.probabilities.max(axis=1), kind="stable")
    counted = weights[:, order]
    return ratio((counted * np.nan_to_num(risk)).sum(axis=1), counted.sum(axis=1))


def measure_selective(
    films: ScoredFilms,
    *,
    refer_below: float,
    target_error: float,
    resamples: int,
    seed: int,
    unlike: Mask | None = None,
) -> SelectiveReport:
    """What a limit fitted on validation does on films that took no part in it.

    Args:
        films: test films.
        refer_below: films of lower confidence are referred.
        target_error: that the limit was fitted for.
        resamples: of patients, for each interval.
        seed: of the resamples.
        unlike: [n], films that are referred for being unlike the training films.
    """
    decided = films.probabilities.max(axis=1) >= refer_below
    unlike_rate = None
    if unlike is not None:
        decided &= ~unlike
        drawn = bootstrap(
            lambda weights: {"unlike_rate": _referred(weights, ~unlike)}, films.patients, resamples=resamples, seed=seed
        )
        unlike_rate = estimate(drawn["unlike_rate"], Basis(limit=share_limit(int(films.patients.max()) + 1)))
    found = measure_decided(films, decided, resamples=resamples, seed=seed)
    return SelectiveReport(target_error=target_error, refer_below=refer_below, unlike_rate=unlike_rate, **found)


def measure_decided(films: ScoredFilms, decided: Mask, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """aurc, refer_rate, error and ece of `SelectiveReport` for films that are decided or referred, whatever the limits.

    Args:
        films: n of them.
        decided: [n], the others are referred.
        resamples: of patients, for each interval.
        seed: of the resamples.
    """
    wrong = (films.decisions != films.labels).astype(np.float64)

    def statistics(weights: Floats) -> Mapping[str, Floats]:
        kept = weights * decided
        error = weighted_mean(wrong, kept)
        ece = np.full(len(weights), np.nan)
        if decided.any():
            left = films.take(decided)
            ece = expected_calibration_error(left.probabilities, left.labels, weights[:, decided])
        return {"aurc": aurc(films, weights), "refer_rate": _referred(weights, decided), "error": error, "ece": ece}

    drawn = bootstrap(statistics, films.patients, resamples=resamples, seed=seed)
    nothing = "" if decided.any() else "every film is referred"
    everyone = share_limit(films.patients_of(np.ones(len(films), dtype=bool)))
    return {
        "aurc": estimate(drawn["aurc"], Basis(limit=everyone)),
        "refer_rate": estimate(drawn["refer_rate"], Basis(limit=everyone)),
        "error": estimate(drawn["error"], Basis(reason=nothing, limit=share_limit(films.patients_of(decided)))),
        "ece": estimate(drawn["ece"], Basis(reason=nothing, noise="raises")),
    }


def _referred(weights: Floats, decided: Mask) -> Floats:
    """Share of the films that are not decided, [b]."""
    return 1 - ratio((weights * decided).sum(axis=1), weights.sum(axis=1))


def _first_of_patient(patients: Ints) -> Floats:
    _, first = np.unique(patients, return_index=True)
    firsts = np.zeros(len(patients))
    firsts[first] = 1
    return firsts
