"""By how much each source, view, sex and age group does worse than the other films, and whether that is chance.

Subgroups differ in which findings they hold, and a source of nothing but tuberculosis is not better than one of nothing
but healthy people because tuberculosis is easier. So both sides are held against each other on the findings that both
have, and the accuracy of the other films is taken at the subgroup's own mix of findings (direct standardisation).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr.contracts.metrics import Estimate, GapState, OperatingPoint, SubgroupGap
from cxr.contracts.recipe import EvaluationRecipe
from cxr.domain import NORMAL
from cxr.evaluation.arrays import Floats, Mask, ratio, weighted_mean
from cxr.evaluation.bootstrap import PLACES, Basis, bootstrap, defined_resamples, estimate, share_limit
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
    shared = np.isin(films.labels, np.intersect1d(films.labels[here], films.labels[rest]))
    sides = here & shared, rest & shared

    def compare(measure: str, of: Measure, needed: Sequence[Mask], rows: tuple[Mask, Mask] = sides) -> _Comparison:
        fewest = min((films.patients_of(side & need) for side in rows for need in needed), default=0)
        return _Comparison(
            attribute=attribute,
            value=value,
            films=int(here.sum()),
            patients=films.patients_of(here),
            measure=measure,
            fewest=fewest,
            here=of(rows[0]),
            rest=of(rows[1]),
            reason="" if fewest >= least else f"fewer than {least} patients on one side",
        )

    ranked = _often_enough(films, sides, least)
    yield compare("macro_auroc", lambda side: _macro_auroc(films, side, ranked), _with_and_without(films, ranked))
    yield _accuracy(films, here, rest, compare, least)
    for point in points:
        # The sensitivity of Normal is the specificity of everything else.
        if point.name == "sensitivity_at_least" and point.finding != NORMAL:
            number = films.findings.index(point.finding)
            present, called = films.labels == number, films.probabilities[:, number] >= point.threshold
            yield compare(f"sensitivity/{point.key}", _share(called, present), [present])
            yield compare(f"specificity/{point.key}", _share(~called, ~present), [~present])


def _accuracy(
    films: ScoredFilms, here: Mask, rest: Mask, compare: Callable[..., _Comparison], least: int
) -> _Comparison:
    """Accuracy over the findings that enough of the other films have, at the subgroup's mix of them."""
    findings = [
        number
        for number in np.unique(films.labels[here])
        if films.patients_of(rest & (films.labels == number)) >= least
    ]
    common = np.isin(films.labels, findings)
    right = (films.decisions == films.labels).astype(np.float64)

    def at_mix_of_here(side: Mask) -> Callable[[Floats], Floats]:
        def value(weights: Floats) -> Floats:
            total = np.zeros(len(weights))
            for number in findings:
                present = common & (films.labels == number)
                share = ratio((weights * (here & present)).sum(axis=1), (weights * (here & common)).sum(axis=1))
                recall = weighted_mean(right, weights * (side & present))
                total += np.where(share > 0, share * recall, 0.0 * share)
            return total

        return value

    everyone = np.ones(len(films), dtype=bool)
    comparison: _Comparison = compare("accuracy", at_mix_of_here, [everyone], (here & common, rest & common))
    return comparison


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
        gap = estimate(rest - here, Basis())
        if gap.value is not None and gap.low is None and len(defined_resamples(rest - here)):
            gap = _unvaried(float(round(gap.value, PLACES)), comparison.fewest)
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


def _unvaried(gap: float, patients: int) -> Estimate:
    """A gap that no resample changes, which is no certainty: both sides may differ from what was seen.

    Where neither side has any error there is no interval: no gap was seen. Elsewhere each side may be off by as much as
    a share that is 1 among so many patients.
    """
    if gap == 0:
        return Estimate(value=0.0)
    play = 2 * (1 - share_limit(patients))
    return Estimate(value=gap, low=max(-1.0, gap - play), high=min(1.0, gap + play))


def _first(drawn: Floats | None) -> float | None:
    return float(drawn[0]) if drawn is not None and np.isfinite(drawn[0]) else None


def _state(gap: Estimate, limit: float) -> GapState:
    if gap.value is None:
        return "unknown"
    if gap.low is not None and gap.low > limit:
        return "flag"
    return "watch" if gap.value > limit else "within"
