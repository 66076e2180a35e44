"""Shortcuts: does a model decide by the source of a film, by what lies outside of the lungs, or by what lies on it?"""

from collections.abc import Mapping

import numpy as np

from cxr.contracts.metrics import Estimate
from cxr.contracts.shortcuts import PastedResult
from cxr.evaluation.arrays import Floats, Ints, Mask, weighted_mean
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate, share_limit
from cxr.evaluation.discrimination import Ranking
from cxr.evaluation.mean_auroc import Ranked, mean_auroc, mean_ranking_limit
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms

_DISTINCT = 0.1
"""A source has distinctly more of a finding when its share lies this much above that of all films."""


def auroc_estimates(films: ScoredFilms, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Macro AUROC and that of each finding, `macro_auroc` and `auroc_<finding>`."""
    measures = BriefMeasures(films)
    values = bootstrap(measures, films.patients, resamples=resamples, seed=seed)
    names = {"macro_auroc": (OVERALL, "macro_auroc")}
    names |= {f"auroc_{finding}": (finding, "auroc") for finding in films.findings}
    absent = np.full(1 + resamples, np.nan)
    return {name: estimate(values.get(key, absent), measures.bases[key]) for name, key in names.items()}


def source_shares(labels: Ints, sources: np.ndarray, *, findings: int) -> dict[str, Floats]:
    """Share of each finding [c] among the films of each source, one film of every finding added to all of them."""
    shares: dict[str, Floats] = {}
    for source in np.unique(sources):
        counts = np.bincount(labels[sources == source], minlength=findings) + 1.0
        shares[str(source)] = counts / counts.sum()
    return shares


def source_pull(
    films: ScoredFilms,
    sources: np.ndarray,
    shares: Mapping[str, Floats],
    prior: Floats,
    *,
    least_patients: int,
    resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """By finding, how well its probability tells the sources that are rich in it, where the finding itself is absent.

    Compared among films of one and the same other finding, and averaged over those.

    Args:
        films: what the model says.
        sources: of the films, [n].
        shares: of findings among the train films of each source; other sources count as not rich.
        prior: share of each finding among all train films, [c].
        least_patients: on either side of a comparison.
        resamples: for each interval.
        seed: of the resamples.
    """
    return {
        finding: _pull(films, number, _rich(sources, shares, prior, number), least_patients, resamples, seed)
        for number, finding in enumerate(films.findings)
    }


def compare_pasted(
    name: str, severity: int, before: ScoredFilms, after: ScoredFilms, *, resamples: int, seed: int
) -> PastedResult:
    """Compare the probabilities of the same films without and with an object pasted on."""
    difference = after.probabilities - before.probabilities
    columns = {"change": np.abs(difference).sum(axis=1) / 2}
    columns["flips"] = (after.decisions != before.decisions).astype(np.float64)
    columns |= {finding: difference[:, number] for number, finding in enumerate(before.findings)}
    values = bootstrap(
        lambda weights: {key: weighted_mean(column, weights) for key, column in columns.items()},
        before.patients,
        resamples=resamples,
        seed=seed,
    )
    share = Basis(limit=share_limit(int(before.patients.max()) + 1))
    return PastedResult(
        object=name,
        severity=severity,
        change=estimate(values["change"], Basis()),
        flips=estimate(values["flips"], share),
        shifts={finding: estimate(values[finding], Basis()) for finding in before.findings},
    )


def _rich(sources: np.ndarray, shares: Mapping[str, Floats], prior: Floats, number: int) -> Mask:
    rich = {source for source, share in shares.items() if share[number] > prior[number] + _DISTINCT}
    return np.isin(sources, sorted(rich))


def _pull(films: ScoredFilms, number: int, rich: Mask, least_patients: int, resamples: int, seed: int) -> Estimate:
    if not rich.any():
        return Estimate(value=None, reason="no source has distinctly more of it than the others")
    ranked: list[Ranked] = []
    for other in films.present:
        rows = np.flatnonzero((films.labels == other) & (other != number))
        inside = rich[rows]
        if min(len(np.unique(films.patients[rows[side]])) for side in (inside, ~inside)) >= least_patients:
            ranked.append((rows, Ranking.of(films.probabilities[rows, number], inside)))
    if not ranked:
        return Estimate(
            value=None,
            reason=f"no other finding has {least_patients} patients both in sources rich in it and in the others",
        )

    values = bootstrap(
        lambda weights: {"pull": mean_auroc(ranked, weights)}, films.patients, resamples=resamples, seed=seed
    )["pull"]
    return estimate(values, Basis(limit=mean_ranking_limit(ranked, films.patients)))
