"""How well findings are told apart on sources that the scoring networks never saw.

Public sources rarely have every finding: two of them may hold tuberculosis and nothing else. A source is then completed
with films of the findings that it lacks from all other sources. Each film is scored by the network from which its own
source was withheld, so that no figure here rests on a source that its network knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.contracts.crossval import PairScore, SourceScore, UnseenTrust
from cxr.contracts.metrics import Estimate
from cxr.domain import TAXONOMY
from cxr.evaluation.arrays import Floats, Ints, Mask
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate
from cxr.evaluation.conformal import measure_sets
from cxr.evaluation.discrimination import Ranking, auroc
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.selective import measure_decided

FEWEST = 10
"""Patients; a source with fewer of a finding counts as one that lacks it."""

_NORMAL = TAXONOMY.findings[0]

Values = Mapping[tuple[str, ...], Floats]


@dataclass(frozen=True, eq=False)
class UnseenFilms:
    """n films with the probabilities of networks that never saw their sources.

    Attributes:
        films: labels, probabilities and patients.
        sources: [n], by name.
    """

    films: ScoredFilms
    sources: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The sources, each once."""
        return tuple(sorted(set(self.sources)))

    def of(self, source: str) -> Mask:
        """Rows of one source."""
        return np.array([name == source for name in self.sources], dtype=bool)

    def own(self, source: str) -> tuple[int, ...]:
        """Findings that a source has enough patients of."""
        rows = self.of(source)
        return tuple(
            number
            for number in self.films.present
            if self.films.patients_of(rows & (self.films.labels == number)) >= FEWEST
        )

    def completed(self, source: str) -> Mask:
        """Films of a source's own findings, and of the other sources' films those of the findings that it lacks."""
        own = np.isin(self.films.labels, self.own(source))
        rows: Mask = self.of(source) == own
        return rows


@dataclass(frozen=True, kw_only=True)
class UnseenScores:
    """What is reported of unseen films: see `cxr.contracts.crossval.Crossval`."""

    sources: tuple[SourceScore, ...]
    pairs: tuple[PairScore, ...]
    worst: Estimate
    mean: Estimate
    pooled: dict[str, Estimate]


_ALONE = Basis(reason="the films have one finding only")

_Ranked = tuple[Ints, Ranking]
_Pair = tuple[str, str, str]
"""Finding, its source, source of the Normal films."""


def score_unseen(unseen: UnseenFilms, *, resamples: int, seed: int) -> UnseenScores:
    """Measure unseen films, by source and over all, with intervals from resampled patients.

    Args:
        unseen: films of every source that has been withheld.
        resamples: for each interval.
        seed: of the resamples.
    """
    pairs = _pairs(unseen)
    rankings: dict[tuple[str, ...], list[_Ranked]] = {("pair", *pair): [_pair_ranking(unseen, pair)] for pair in pairs}
    brief, by_source = BriefMeasures(unseen.films), _SourceMeasures(unseen)

    def statistics(weights: Floats) -> Values:
        values = {key: _mean_auroc(ranked, weights) for key, ranked in rankings.items()}
        whole = brief(weights)
        values |= {(OVERALL, name): whole[OVERALL, name] for name in ("macro_auroc", "accuracy")}
        return values | by_source(weights)

    values = bootstrap(statistics, unseen.films.patients, resamples=resamples, seed=seed)
    return UnseenScores(
        sources=tuple(_source_score(unseen, source, values["source", source]) for source in by_source.judged),
        pairs=tuple(_pair_score(unseen, pair, values["pair", *pair]) for pair in pairs),
        worst=estimate(values["worst",], _ALONE),
        mean=estimate(values["mean",], _ALONE),
        pooled={
            name: estimate(values[OVERALL, name], brief.bases[OVERALL, name]) for name in ("macro_auroc", "accuracy")
        },
    )


def worst_source_auroc(unseen: UnseenFilms) -> float:
    """The smallest macro AUROC of a source; not a number where the films have one finding only."""
    return float(_SourceMeasures(unseen)(np.ones((1, len(unseen.films))))["worst",][0])


def measure_trust(
    films: ScoredFilms, sets: Mask, decided: Mask, *, error: float, resamples: int, seed: int
) -> UnseenTrust:
    """Measure prediction sets and referrals on films of sources that their networks never saw.

    Args:
        films: n of them, with the temperatures of their networks.
        sets: [n, c], whether each finding is in the set of each film.
        decided: [n], the others are referred.
        error: of the promise of the sets.
        resamples: of patients, for each interval.
        seed: of the resamples.
    """
    found = measure_decided(films, decided, resamples=resamples, seed=seed)
    return UnseenTrust(
        prediction_sets=measure_sets(films, sets, error=error, resamples=resamples, seed=seed),
        refer_rate=found["refer_rate"],
        error=found["error"],
        ece=found["ece"],
    )


class _SourceMeasures:
    """Macro AUROC of every source, the worst of them and their mean."""

    def __init__(self, unseen: UnseenFilms) -> None:
        self.judged = [source for source in unseen.names if unseen.own(source)]
        self._rankings = {source: _macro_rankings(unseen, source) for source in self.judged}

    def __call__(self, weights: Floats) -> dict[tuple[str, ...], Floats]:
        """Values [b] for weights [b, n]."""
        of_sources = {source: _mean_auroc(ranked, weights) for source, ranked in self._rankings.items()}
        stacked = np.stack(list(of_sources.values()))
        values: dict[tuple[str, ...], Floats] = {("source", source): found for source, found in of_sources.items()}
        return values | {("worst",): stacked.min(axis=0), ("mean",): stacked.mean(axis=0)}


def _mean_auroc(ranked: list[_Ranked], weights: Floats) -> Floats:
    values: Floats = np.mean([auroc(ranking.count(weights[:, rows])) for rows, ranking in ranked], axis=0)
    return values


def _macro_rankings(unseen: UnseenFilms, source: str) -> list[_Ranked]:
    rows = np.flatnonzero(unseen.completed(source))
    labels, probabilities = unseen.films.labels[rows], unseen.films.probabilities[rows]
    return [(rows, Ranking.of(probabilities[:, number], labels == number)) for number in np.unique(labels)]


def _pairs(unseen: UnseenFilms) -> list[_Pair]:
    """A finding against Normal films of its own source, or of every source when its own lacks them."""
    normal = unseen.films.findings.index(_NORMAL)
    with_normal = [source for source in unseen.names if normal in unseen.own(source)]
    return [
        (unseen.films.findings[number], source, other)
        for source in unseen.names
        for number in unseen.own(source)
        if number != normal
        for other in ([source] if source in with_normal else with_normal)
    ]


def _pair_rows(unseen: UnseenFilms, pair: _Pair) -> tuple[Mask, Mask]:
    finding, source, other = pair
    findings, labels = unseen.films.findings, unseen.films.labels
    with_finding = unseen.of(source) & (labels == findings.index(finding))
    return with_finding, unseen.of(other) & (labels == findings.index(_NORMAL))


def _pair_ranking(unseen: UnseenFilms, pair: _Pair) -> _Ranked:
    """Films by the odds of the finding against Normal: what the third finding takes is left out of the comparison."""
    with_finding, without = _pair_rows(unseen, pair)
    rows = np.flatnonzero(with_finding | without)
    probabilities = np.log(np.maximum(unseen.films.probabilities[rows], np.finfo(np.float64).tiny))
    findings = unseen.films.findings
    odds = probabilities[:, findings.index(pair[0])] - probabilities[:, findings.index(_NORMAL)]
    return rows, Ranking.of(odds, with_finding[rows])


def _source_score(unseen: UnseenFilms, source: str, values: Floats) -> SourceScore:
    own, findings = unseen.own(source), unseen.films.findings
    rows = unseen.completed(source)
    present = np.unique(unseen.films.labels[rows])
    return SourceScore(
        source=source,
        own=tuple(findings[number] for number in own),
        borrowed=tuple(findings[number] for number in present if number not in own),
        films=int((rows & unseen.of(source)).sum()),
        macro_auroc=estimate(values, _ALONE),
    )


def _pair_score(unseen: UnseenFilms, pair: _Pair, values: Floats) -> PairScore:
    with_finding, without = _pair_rows(unseen, pair)
    finding, source, other = pair
    return PairScore(
        finding=finding,
        source=source,
        normal_source=other,
        films=int(with_finding.sum()),
        normal_films=int(without.sum()),
        auroc=estimate(values, _ALONE),
    )
