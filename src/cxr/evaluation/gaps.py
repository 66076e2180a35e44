"""By how much each source, view, sex and age group does worse than the other films, and whether that is chance.

Subgroups differ in which findings they hold, and a source of nothing but tuberculosis is not better than one of nothing
but healthy people because tuberculosis is easier. So both sides are held against each other at the subgroup's own mix
of findings (direct standardisation): the other films count so much that each of their findings has the share that it
has in the subgroup. Accuracy is held at the mix of all findings; specificity and the AUROC of a finding, which is the
mean of those against each other finding at their shares, at the mix of the other findings. Sensitivity is of one
finding and has no mix.

A finding that too few of the other films have cannot be given a share among them: its films are left out on both sides.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr.contracts.metrics import Estimate, GapState, OperatingPoint, SubgroupGap
from cxr.contracts.recipe import EvaluationRecipe
from cxr.domain import NORMAL
from cxr.evaluation.arrays import Floats, Ints, Mask, ratio, weighted_mean
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate_difference, share_limit
from cxr.evaluation.discrimination import Ranking, auroc
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.subgroups import split_films

Measure = Callable[[Mask], Callable[[Floats], Floats]]
"""From the films of one side to a function from weights [b, n] to values [b]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Comparison:
    """One measure of one subgroup against the rest; `reason` why it cannot be made, empty when it can.

    `fewest` are the patients of the side, and of what must occur on it, that has the fewest.
    """

    attribute: str
    value: str
    films: int
    patients: int
    measure: str
    fewest: int
    here: Callable[[Floats], Floats]
    rest: Callable[[Floats], Floats]
    reason: str


def measure_gaps(
    films: ScoredFilms,
    attributes: pd.DataFrame,
    points: Sequence[OperatingPoint],
    *,
    recipe: EvaluationRecipe,
    seed: int,
) -> tuple[SubgroupGap, ...]:
    """Gaps in macro AUROC, accuracy, and sensitivity and specificity at the sensitive operating points.

    Films whose attribute is unknown are on neither side. An attribute with a single known value has no gap.

    Args:
        films: all films.
        attributes: one row per film, in the same order, with the columns of `cxr.evaluation.subgroups.ATTRIBUTES`.
        points: of the model; those that were fitted to reach a sensitivity are compared.
        recipe: resamples, limit and least number of patients.
        seed: of the resamples.
    """
    compared = [
        comparison
        for attribute, value, here, rest in _sides(attributes)
        for comparison in _comparisons(films, attribute, value, here, rest, points, least=recipe.subgroup_patients)
    ]
    made = {number: comparison for number, comparison in enumerate(compared) if not comparison.reason}

    def statistics(weights: Floats) -> dict[tuple[int, bool], Floats]:
        here = {(number, True): comparison.here(weights) for number, comparison in made.items()}
        return here | {(number, False): comparison.rest(weights) for number, comparison in made.items()}

    drawn = bootstrap(statistics, films.patients, resamples=recipe.resamples, seed=seed) if made else {}
    return tuple(
        _gap(comparison, drawn.get((number, True)), drawn.get((number, False)), limit=recipe.subgroup_gap)
        for number, comparison in enumerate(compared)
    )


def _sides(attributes: pd.DataFrame) -> Iterator[tuple[str, str, Mask, Mask]]:
    for attribute, value, here in split_films(attributes):
        known = attributes[attribute].notna().to_numpy(dtype=bool)
        if (here & known).any() and (known & ~here).any():
            yield attribute, value, here, known & ~here


def _comparisons(
    films: ScoredFilms,
    attribute: str,
    value: str,
    here: Mask,
    rest: Mask,
    points: Sequence[OperatingPoint],
    *,
    least: int,
) -> Iterator[_Comparison]:
    shared = _shared(films, here, rest, least)
    held = np.isin(films.labels, shared)
    ranked = _often_enough(films, (here & held, rest & held), least)
    everyone, right = np.ones(len(films), dtype=bool), films.decisions == films.labels

    def compare(measure: str, of: Measure, needed: Sequence[Mask], mix: Sequence[int]) -> _Comparison:
        common = np.isin(films.labels, mix)
        sides = here & common, rest & common
        fewest = min((films.patients_of(side & need) for side in sides for need in needed), default=0)
        weigh, of_rest = _at_mix_of(*sides, films.labels), of(sides[1])
        return _Comparison(
            attribute=attribute,
            value=value,
            films=int(here.sum()),
            patients=films.patients_of(here),
            measure=measure,
            fewest=fewest,
            here=of(sides[0]),
            rest=lambda weights: of_rest(weigh(weights)),
            reason="" if fewest >= least else f"fewer than {least} patients on one side",
        )

    either = _with_and_without(films, ranked)
    yield compare("macro_auroc", lambda side: _macro_auroc(films, side, ranked), either, shared)
    yield compare("accuracy", _share(right, everyone), [everyone], shared)
    for point in points:
        # The sensitivity of Normal is the specificity of everything else.
        if point.name == "sensitivity_at_least" and point.finding != NORMAL:
            number = films.findings.index(point.finding)
            present, called = films.labels == number, films.probabilities[:, number] >= point.threshold
            others = [other for other in shared if other != number]
            yield compare(f"sensitivity/{point.key}", _share(called, present), [present], [number])
            yield compare(f"specificity/{point.key}", _share(~called, ~present), [~present], others)


def _shared(films: ScoredFilms, here: Mask, rest: Mask, least: int) -> list[int]:
    """Findings of the subgroup that enough of the other films have."""
    return [
        int(number)
        for number in np.unique(films.labels[here])
        if films.patients_of(rest & (films.labels == number)) >= least
    ]


def _at_mix_of(here: Mask, rest: Mask, labels: Ints) -> Callable[[Floats], Floats]:
    """From weights [b, n] to those of the films of `rest`, [b, n], at which each finding weighs what it does in `here`.

    Where a resample has no film of a finding in `rest` but has some in `here`, weights of the finding are NaN.
    """
    kinds = labels[:, None] == np.arange(labels.max() + 1)

    def weigh(weights: Floats) -> Floats:
        wanted, found = weights @ (kinds & here[:, None]), weights @ (kinds & rest[:, None])
        return weights * rest * np.where(wanted > 0, ratio(wanted, found), 0.0)[:, labels]

    return weigh


def _often_enough(films: ScoredFilms, sides: tuple[Mask, Mask], least: int) -> list[int]:
    """Findings with which and without which both sides have enough patients."""
    return [
        number
        for number in films.present
        if all(
            films.patients_of(side & chosen) >= least
            for side in sides
            for chosen in (films.labels == number, films.labels != number)
        )
    ]


def _with_and_without(films: ScoredFilms, findings: Sequence[int]) -> list[Mask]:
    return [chosen for number in findings for chosen in (films.labels == number, films.labels != number)]


def _macro_auroc(films: ScoredFilms, side: Mask, findings: Sequence[int]) -> Callable[[Floats], Floats]:
    rankings = [Ranking.of(films.probabilities[side, number], films.labels[side] == number) for number in findings]

    def value(weights: Floats) -> Floats:
        mean: Floats = np.mean([auroc(ranking.count(weights[:, side])) for ranking in rankings], axis=0)
        return mean

    return value


def _share(called: Mask, among: Mask) -> Measure:
    """Share of the films of a side among which something is called."""
    hits = called.astype(np.float64)
    return lambda side: lambda weights: weighted_mean(hits, weights * (side & among))


def _gap(comparison: _Comparison, here: Floats | None, rest: Floats | None, *, limit: float) -> SubgroupGap:
    if here is None or rest is None:
        gap = Estimate(value=None, reason=comparison.reason)
    else:
        gap = estimate_difference(rest - here, Basis(limit=share_limit(comparison.fewest)))
    return SubgroupGap(
        attribute=comparison.attribute,
        value=comparison.value,
        measure=comparison.measure,
        films=comparison.films,
        patients=comparison.patients,
        here=_first(here),
        rest=_first(rest),
        gap=gap,
        state=_state(gap, limit),
    )


def _first(drawn: Floats | None) -> float | None:
    return float(drawn[0]) if drawn is not None and np.isfinite(drawn[0]) else None


def _state(gap: Estimate, limit: float) -> GapState:
    if gap.value is None:
        return "unknown"
    if gap.low is not None and gap.low > limit:
        return "flag"
    return "watch" if gap.value > limit else "within"
