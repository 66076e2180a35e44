"""Thresholds fitted on validation films, and what they do on others.

A threshold lies half-way between two observed scores, so that rounding (another runtime, another device) moves no film
across it.
"""

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from cxr.contracts.metrics import Calibration, OperatingPoint
from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.arrays import Floats, Ints, ratio
from cxr.evaluation.calibration import LabelledLogits, fit_shared_temperature
from cxr.evaluation.conformal import fit_prediction_sets
from cxr.evaluation.discrimination import Ranking
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.selective import fit_referral

logger = logging.getLogger(__name__)

Rule = tuple[Literal["youden", "sensitivity_at_least", "specificity_at_least"], float | None]

_ROUNDING = 1e-9


def fit_calibration(
    logits: npt.NDArray[np.floating],
    labels: Ints,
    groups: Sequence[str],
    *,
    findings: tuple[str, ...],
    recipe: EvaluationRecipe,
    unseen: LabelledLogits | None = None,
) -> Calibration:
    """Fit temperature, operating points, referral limit and prediction sets on the validation films.

    Args:
        logits: [n, c].
        labels: int64 [n].
        groups: patient of each film.
        findings: in the order of the logits.
        recipe: targets of all of them.
        unseen: validation films as read by what does not know their sources; the temperature alone heeds them.
    """
    temperature = fit_shared_temperature(LabelledLogits(logits, labels), unseen, unseen_share=recipe.unseen_share)
    films = ScoredFilms.from_logits(logits, labels, groups, temperature=temperature, findings=findings)
    refer_below, bound = fit_referral(films, error=recipe.referral_error, confidence=recipe.referral_confidence)
    return Calibration(
        temperature=temperature,
        operating_points=fit_operating_points(films, recipe),
        refer_below=refer_below,
        refer_error=recipe.referral_error,
        refer_error_bound=bound,
        prediction_sets=fit_prediction_sets(films, error=recipe.conformal_error),
        validation_films=len(films),
        unseen_films=len(unseen.labels) if unseen is not None and recipe.unseen_share else 0,
    )


def fit_operating_points(films: ScoredFilms, recipe: EvaluationRecipe) -> tuple[OperatingPoint, ...]:
    """The operating points of every finding against the rest.

    "youden" has the largest sum of sensitivity and specificity (Youden 1950); "sensitivity_at_least" is the most
    specific that reaches the triage sensitivity; "specificity_at_least" is the most sensitive that keeps the triage
    specificity, and once more the specificity for ruling in. A finding that no film or every film has gets none.
    """
    rules: tuple[Rule, ...] = (
        ("youden", None),
        ("sensitivity_at_least", recipe.triage_sensitivity),
        ("specificity_at_least", recipe.triage_specificity),
        ("specificity_at_least", recipe.rule_in_specificity),
    )
    points: list[OperatingPoint] = []
    for number, finding in enumerate(films.findings):
        positive = films.labels == number
        if positive.all() or not positive.any():
            logger.warning("no operating point for %s: validation needs films with and without it", finding)
            continue
        points += _points_of(finding, Ranking.of(films.probabilities[:, number], positive), dict.fromkeys(rules))
    return tuple(points)


def measure_operating_points(
    films: ScoredFilms, points: Sequence[OperatingPoint], weights: Floats
) -> dict[tuple[str, str], Floats]:
    """Sensitivity, specificity, ppv and npv [b] of each point for weights [b, n], by (`OperatingPoint.key`, metric)."""
    results: dict[tuple[str, str], Floats] = {}
    for point in points:
        number = films.findings.index(point.finding)
        called, present = films.probabilities[:, number] >= point.threshold, films.labels == number
        groups = np.stack([called & present, called & ~present, ~called & present, ~called & ~present], axis=1)
        hits, alarms, misses, passes = (weights @ groups.astype(np.float64)).T
        results[point.key, "sensitivity"] = ratio(hits, hits + misses)
        results[point.key, "specificity"] = ratio(passes, passes + alarms)
        results[point.key, "ppv"] = ratio(hits, hits + alarms)
        results[point.key, "npv"] = ratio(passes, passes + misses)
    return results


def _points_of(finding: str, ranking: Ranking, rules: dict[Rule, None]) -> list[OperatingPoint]:
    counts = ranking.count(np.ones((1, len(ranking.order))))
    sensitivity = np.append(0.0, counts.hits[0] / counts.positives)
    specificity = 1 - np.append(0.0, counts.false_alarms[0] / counts.negatives)
    cuts = _cuts(ranking.thresholds)
    points = []
    for name, target in rules:
        if name == "youden":
            chosen = int((sensitivity + specificity).argmax())
        elif name == "sensitivity_at_least":
            chosen = int((sensitivity < (target or 0) - _ROUNDING).sum())
        else:
            chosen = int((specificity >= (target or 0) - _ROUNDING).sum()) - 1
        points.append(
            OperatingPoint(
                finding=finding,
                name=name,
                target=target,
                threshold=float(cuts[chosen]),
                validation_sensitivity=float(sensitivity[chosen]),
                validation_specificity=float(specificity[chosen]),
            )
        )
    return points


def _cuts(levels: Floats) -> Floats:
    """Thresholds [u + 1] that call none, the first, the first two, … of u falling levels, and at last every film."""
    between = (levels[:-1] + levels[1:]) / 2
    between = np.where(between > levels[1:], between, levels[:-1])
    above = (levels[0] + 1) / 2 if levels[0] < 1 else np.nextafter(1.0, 2.0)
    return np.concatenate([[max(above, np.nextafter(levels[0], 2.0))], between, [0.0]])
