"""The figures of merit that are reported, for many weightings of the same films at once.

Macro averages run over the findings that occur among the films; they need at least two. A resample that lacks one of
them leaves the average undefined there, so that all resamples estimate the same thing.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from cxr.contracts.metrics import OperatingPoint
from cxr.contracts.recipe import EvaluationRecipe
from cxr.domain import NORMAL
from cxr.evaluation import confusion as decided
from cxr.evaluation.arrays import Floats
from cxr.evaluation.bases import (
    AGAINST_NORMAL,
    OVERALL,
    Key,
    against_normal_bases,
    decision_bases,
    macro_bases,
    point_bases,
    ranking_bases,
)
from cxr.evaluation.bootstrap import Basis
from cxr.evaluation.calibration import brier, expected_calibration_error, log_loss
from cxr.evaluation.confusion import confusion
from cxr.evaluation.discrimination import (
    RankedCounts,
    Ranking,
    auroc,
    average_precision,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from cxr.evaluation.mean_auroc import Ranked, mean_auroc
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import measure_operating_points

Values = dict[Key, Floats]
RankedMetric = Callable[[RankedCounts], Floats]

_SPECIFICITIES = (0.95, 0.90)
_SENSITIVITIES = (0.95,)


class FullMeasures:
    """Everything that is reported of the evaluated films."""

    _MACRO = ("precision", "recall", "f1", "auroc", "auprc")

    def __init__(self, films: ScoredFilms, points: Sequence[OperatingPoint], recipe: EvaluationRecipe) -> None:
        """Prepare the metrics of `films` at operating points and at the sensitivities and specificities of a recipe."""
        self._films, self._points = films, points
        self._ranked = ranked_metrics(recipe)
        self._rankings, self._against_normal = _rank(films), _rank_against_normal(films)
        self.bases = decision_bases(films) | ranking_bases(films, self._ranked) | point_bases(films, points)
        self.bases |= against_normal_bases(films)
        self.bases |= macro_bases(films, self.bases, self._MACRO)
        self.bases[OVERALL, "ece"] = Basis(noise="raises")
        self.bases[OVERALL, "brier"] = self.bases[OVERALL, "log_loss"] = Basis()

    def __call__(self, weights: Floats) -> Values:
        """Values [b] of every metric for weights [b, n]."""
        films = self._films
        values = _of_decisions(films, weights)
        for finding, ranking in zip(films.findings, self._rankings, strict=True):
            counts = ranking.count(weights)
            values |= {(finding, name): metric(counts) for name, metric in self._ranked.items()}
        for finding, ranked in self._against_normal.items():
            values[finding, AGAINST_NORMAL] = mean_auroc([ranked], weights)
        values |= _macro(films, values, self._MACRO)
        values[OVERALL, "ece"] = expected_calibration_error(films.probabilities, films.labels, weights)
        values[OVERALL, "brier"] = brier(films.probabilities, films.labels, weights)
        values[OVERALL, "log_loss"] = log_loss(films.probabilities, films.labels, weights)
        return values | measure_operating_points(films, self._points, weights)


class BriefMeasures:
    """Accuracy, AUROC and what comes with the decisions: reported of subgroups and of corrupted films."""

    _MACRO = ("recall", "auroc")

    def __init__(self, films: ScoredFilms) -> None:
        """Prepare the metrics of `films`."""
        self._films, self._rankings = films, _rank(films)
        self.bases = decision_bases(films) | ranking_bases(films, ("auroc",))
        self.bases |= macro_bases(films, self.bases, self._MACRO)

    def __call__(self, weights: Floats) -> Values:
        """Values [b] of every metric for weights [b, n]."""
        values = _of_decisions(self._films, weights)
        for number in self._films.present:
            values[self._films.findings[number], "auroc"] = auroc(self._rankings[number].count(weights))
        return values | _macro(self._films, values, self._MACRO)


def ranked_metrics(recipe: EvaluationRecipe) -> dict[str, RankedMetric]:
    """AUROC, AUPRC, and sensitivity and specificity at fixed values of the other: 95%, 90% and those of triage."""
    metrics: dict[str, RankedMetric] = {"auroc": auroc, "auprc": average_precision}
    for fixed in dict.fromkeys((*_SPECIFICITIES, recipe.triage_specificity)):
        metrics[f"sensitivity_at_specificity_{100 * fixed:g}"] = partial(sensitivity_at_specificity, specificity=fixed)
    for fixed in dict.fromkeys((*_SENSITIVITIES, recipe.triage_sensitivity)):
        metrics[f"specificity_at_sensitivity_{100 * fixed:g}"] = partial(specificity_at_sensitivity, sensitivity=fixed)
    return metrics


def _rank(films: ScoredFilms) -> tuple[Ranking, ...]:
    return tuple(Ranking.of(scores, films.labels == number) for number, scores in enumerate(films.probabilities.T))


def _rank_against_normal(films: ScoredFilms) -> dict[str, Ranked]:
    """Finding to its films and the Normal ones, by the odds of the one against the other; all films where it has none.

    What rests on films without either is undefined by its basis.
    """
    found: dict[str, Ranked] = {}
    for number, finding in enumerate(films.findings):
        if finding != NORMAL:
            rows = np.flatnonzero(np.isin(films.labels, (number, films.findings.index(NORMAL))))
            rows = rows if len(rows) else np.arange(len(films))
            found[finding] = rows, Ranking.of(films.log_odds(finding, NORMAL)[rows], films.labels[rows] == number)
    return found


def _of_decisions(films: ScoredFilms, weights: Floats) -> Values:
    matrix = confusion(films.labels, films.decisions, weights, findings=len(films.findings))
    values: Values = {(OVERALL, "accuracy"): decided.accuracy(matrix)}
    by_finding = {
        "precision": decided.precision(matrix),
        "recall": decided.recall(matrix),
        "f1": decided.f1(matrix),
        "specificity": decided.specificity(matrix),
    }
    for number, finding in enumerate(films.findings):
        values |= {(finding, name): columns[:, number] for name, columns in by_finding.items()}
    return values


def _macro(films: ScoredFilms, values: Values, names: Iterable[str]) -> Values:
    present = [films.findings[number] for number in films.present]
    averages = {name: np.mean([values[finding, name] for finding in present], axis=0) for name in names}
    undefined = np.full_like(values[OVERALL, "accuracy"], np.nan)
    return {
        (OVERALL, f"macro_{name}"): average if len(present) > 1 else undefined for name, average in averages.items()
    }
