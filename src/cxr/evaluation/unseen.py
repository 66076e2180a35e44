"""How well findings are told apart on sources that the scoring networks never saw.

Public sources rarely have every finding: two of them may hold tuberculosis and nothing else. Such a source is withheld
together with others, see `cxr.steps.split.folds`, and completed with their films of the findings that it lacks. Only
films that one network scored are compared, and it knows the sources of none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr.contracts.crossval import PairScore, SourceScore, UnseenTrust
from cxr.contracts.metrics import Estimate
from cxr.domain import NORMAL
from cxr.evaluation.arrays import Floats, Ints, Mask
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate
from cxr.evaluation.conformal import measure_sets
from cxr.evaluation.discrimination import Ranking
from cxr.evaluation.mean_auroc import Ranked, mean_auroc, mean_ranking_limit
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.selective import measure_decided

FEWEST = 10
"""Patients; a source with fewer of a finding counts as one that lacks it."""

Values = Mapping[tuple[str, ...], Floats]


@dataclass(frozen=True, eq=False)
class UnseenFilms:
    """n rows: a film with the probabilities of a network that never saw its source.

    Attributes:
        films: labels, probabilities and patients; a film has a row for each network that scored it.
        sources: [n], by name.
        folds: int64 [n], which network.
    """

    films: ScoredFilms
    sources: Sequence[str]
    folds: Ints

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

    def completed(self, source: str) -> list[Ints]:
        """Rows of a source's own findings, and those of the findings that it lacks from what was withheld with it.

        One array for each network that they let compare two findings or more; none for a source that has too few
        patients of every finding, which would be judged by others' films alone.
        """
        mine, own = self.of(source), self.own(source)
        if not own:
            return []
        chosen = mine == np.isin(self.films.labels, own)
        rows = [np.flatnonzero(chosen & (self.folds == fold)) for fold in np.unique(self.folds[mine])]
        return [found for found in rows if len(np.unique(self.films.labels[found])) > 1]


@dataclass(frozen=True, kw_only=True)
class UnseenScores:
    """What is reported of unseen films: see `cxr.contracts.crossval.Crossval`."""

    sources: tuple[SourceScore, ...]
    pairs: tuple[PairScore, ...]
    worst: Estimate
    mean: Estimate
    accuracy: Estimate


_Pair = tuple[str, str, str]
"""Finding, its source, source of the Normal films."""


def score_unseen(unseen: UnseenFilms, *, resamples: int, seed: int) -> UnseenScores:
    """Measure unseen films, by source and over all, with intervals from resampled patients.

    Args:
        unseen: films of every source that has been withheld.
        resamples: for each interval.
        seed: of the resamples.
    """
    pairs = {pair: rankings for pair in _pairs(unseen) if (rankings := _pair_rankings(unseen, pair))}
    brief, by_source = BriefMeasures(unseen.films), _SourceMeasures(unseen)

    def statistics(weights: Floats) -> Values:
        values: dict[tuple[str, ...], Floats] = {
            ("pair", *pair): mean_auroc(rankings, weights) for pair, rankings in pairs.items()
        }
        values["accuracy",] = brief(weights)[OVERALL, "accuracy"]
        return values | by_source(weights)

    values = bootstrap(statistics, unseen.films.patients, resamples=resamples, seed=seed)
    return UnseenScores(
        sources=tuple(
            _source_score(unseen, source, values["source", source], by_source.basis(source))
            for source in by_source.judged
        ),
        pairs=tuple(
            _pair_score(unseen, pair, values["pair", *pair], _basis(unseen.films, rankings))
            for pair, rankings in pairs.items()
        ),
        worst=estimate(values["worst",], by_source.basis_of_worst),
        mean=estimate(values["mean",], by_source.basis(*by_source.judged)),
        accuracy=estimate(values["accuracy",], brief.bases[OVERALL, "accuracy"]),
    )


def worst_source_auroc(unseen: UnseenFilms) -> float:
    """The smallest macro AUROC of a source; not a number where no network was tested on films of two findings."""
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
        rankings = {source: _macro_rankings(unseen, source) for source in unseen.names}
        self._films = unseen.films
        self._rankings = {source: of_folds for source, of_folds in rankings.items() if of_folds}

    @property
    def judged(self) -> tuple[str, ...]:
        """The sources that have a value."""
        return tuple(self._rankings)

    def basis(self, *sources: str) -> Basis:
        """What the mean of the macro AUROCs of sources rests on."""
        ranked = [one for source in sources for network in self._rankings[source] for one in network]
        return _basis(self._films, ranked)

    @property
    def basis_of_worst(self) -> Basis:
        """What the smallest macro AUROC of a source rests on: without any error, the fewest patients.

        The more sources are nearly as bad, the more often one of them is worse in a resample.
        """
        bases = [self.basis(source) for source in self.judged]
        return replace(min(bases, key=lambda basis: basis.limit or 0.0) if bases else self.basis(), noise="lowers")

    def __call__(self, weights: Floats) -> dict[tuple[str, ...], Floats]:
        """Values [b] for weights [b, n]."""
        values: dict[tuple[str, ...], Floats] = {
            ("source", source): np.mean([mean_auroc(ranked, weights) for ranked in of_folds], axis=0)
            for source, of_folds in self._rankings.items()
        }
        stacked = np.stack(list(values.values()) or [np.full(len(weights), np.nan)])
        return values | {("worst",): stacked.min(axis=0), ("mean",): stacked.mean(axis=0)}


def _basis(films: ScoredFilms, ranked: Sequence[Ranked]) -> Basis:
    reason = f"no network was tested on films of two findings of sources with {FEWEST} patients of one"
    return Basis(reason=reason, limit=mean_ranking_limit(ranked, films.patients))


def _macro_rankings(unseen: UnseenFilms, source: str) -> list[list[Ranked]]:
    """For each network of a source, every finding against the others."""
    found = []
    for rows in unseen.completed(source):
        labels, probabilities = unseen.films.labels[rows], unseen.films.probabilities[rows]
        found.append([(rows, Ranking.of(probabilities[:, number], labels == number)) for number in np.unique(labels)])
    return found


def _pairs(unseen: UnseenFilms) -> list[_Pair]:
    """A finding against Normal films of its own source, or of every source when its own lacks them."""
    normal = unseen.films.findings.index(NORMAL)
    with_normal = [source for source in unseen.names if normal in unseen.own(source)]
    return [
        (unseen.films.findings[number], source, other)
        for source in unseen.names
        for number in unseen.own(source)
        if number != normal
        for other in ([source] if source in with_normal else with_normal)
    ]


def _pair_rows(unseen: UnseenFilms, pair: _Pair) -> tuple[Mask, Mask]:
    """Rows with the finding and Normal rows, of the networks that were tested on both."""
    finding, source, other = pair
    findings, labels = unseen.films.findings, unseen.films.labels
    with_finding = unseen.of(source) & (labels == findings.index(finding))
    without = unseen.of(other) & (labels == findings.index(NORMAL))
    both = np.isin(unseen.folds, np.intersect1d(unseen.folds[with_finding], unseen.folds[without]))
    return with_finding & both, without & both


def _pair_rankings(unseen: UnseenFilms, pair: _Pair) -> list[Ranked]:
    """For each network, films by the odds of the finding against Normal: what the third takes is left out."""
    with_finding, without = _pair_rows(unseen, pair)
    odds = unseen.films.log_odds(pair[0], NORMAL)
    found = []
    for fold in np.unique(unseen.folds[with_finding]):
        rows = np.flatnonzero((with_finding | without) & (unseen.folds == fold))
        found.append((rows, Ranking.of(odds[rows], with_finding[rows])))
    return found


def _source_score(unseen: UnseenFilms, source: str, values: Floats, basis: Basis) -> SourceScore:
    own, findings = unseen.own(source), unseen.films.findings
    networks = unseen.completed(source)
    present = np.unique(unseen.films.labels[np.concatenate(networks)])
    return SourceScore(
        source=source,
        networks=len(networks),
        own=tuple(findings[number] for number in own),
        borrowed=tuple(findings[number] for number in present if number not in own),
        films=int(unseen.of(source)[networks[0]].sum()),
        macro_auroc=estimate(values, basis),
    )


def _pair_score(unseen: UnseenFilms, pair: _Pair, values: Floats, basis: Basis) -> PairScore:
    with_finding, without = _pair_rows(unseen, pair)
    finding, source, other = pair
    networks = len(np.unique(unseen.folds[with_finding]))
    return PairScore(
        finding=finding,
        source=source,
        normal_source=other,
        networks=networks,
        films=int(with_finding.sum()) // networks,
        normal_films=int(without.sum()) // networks,
        auroc=estimate(values, basis),
    )
