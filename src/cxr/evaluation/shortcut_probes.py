"""Small classifiers that say what an embedding or a few pixels give away."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.contracts.metrics import Estimate
from cxr.contracts.shortcuts import SourceProbe
from cxr.evaluation.arrays import Floats, Ints, Mask
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms

_FOLDS = 5
_PENALTY = 0.01
_ITERATIONS = 5000


def pixel_probe(
    train: npt.NDArray[np.floating], labels: Ints, test: npt.NDArray[np.floating], *, classes: int
) -> Floats:
    """Probabilities [m, classes] of a logistic regression on features, equal weight to every class.

    Args:
        train: features [n, d].
        labels: int64 [n], 0..classes-1; classes that do not occur get probability 0.
        test: features [m, d].
        classes: how many.
    """
    present = np.unique(labels)
    probabilities = np.zeros((len(test), classes))
    if len(present) == 1:
        probabilities[:, present[0]] = 1.0
        return probabilities
    probabilities[:, present] = _classifier().fit(train, labels).predict_proba(test)
    return probabilities


def source_probes(
    embeddings: npt.NDArray[np.floating],
    films: ScoredFilms,
    sources: npt.NDArray[np.object_],
    *,
    least_patients: int,
    resamples: int,
    seed: int,
) -> tuple[SourceProbe, ...]:
    """For every finding that occurs, how well the embedding names the source among its films.

    Args:
        embeddings: [n, d].
        films: labels and patients of the same films.
        sources: [n].
        least_patients: sources with fewer of a finding are left out, and a probe needs two sources.
        resamples: for each interval, of patients; the classifiers are not fitted again.
        seed: of folds and resamples.
    """
    return tuple(
        _probe(
            films.findings[number], embeddings, films, sources, films.labels == number, least_patients, resamples, seed
        )
        for number in films.present
    )


def _probe(
    finding: str,
    embeddings: npt.NDArray[np.floating],
    films: ScoredFilms,
    sources: npt.NDArray[np.object_],
    rows: Mask,
    least_patients: int,
    resamples: int,
    seed: int,
) -> SourceProbe:
    kept = tuple(
        source
        for source in _names(sources[rows])
        if len(np.unique(films.patients[rows & (sources == source)])) >= max(least_patients, _FOLDS)
    )
    rows = rows & np.isin(sources, kept)
    if len(kept) < 2:
        nothing = Estimate(
            value=None,
            reason=f"fewer than two sources have {max(least_patients, _FOLDS)} test patients with {finding}",
        )
        return SourceProbe(
            finding=finding,
            sources=kept,
            films=int(rows.sum()),
            patients=films.patients_of(rows),
            chance=None,
            balanced_accuracy=nothing,
            macro_auroc=nothing,
        )
    _, patients = np.unique(films.patients[rows], return_inverse=True)
    labels = np.searchsorted(np.array(kept), sources[rows].astype(str)).astype(np.int64)
    named = ScoredFilms(
        labels, _cross_validated(embeddings[rows], labels, patients, len(kept), seed), patients.astype(np.int64), kept
    )
    measures = BriefMeasures(named)
    values = bootstrap(measures, named.patients, resamples=resamples, seed=seed)
    found = {
        name: estimate(values[OVERALL, name], measures.bases[OVERALL, name]) for name in ("macro_recall", "macro_auroc")
    }
    return SourceProbe(
        finding=finding,
        sources=kept,
        films=len(named),
        patients=int(patients.max()) + 1,
        chance=1 / len(kept),
        balanced_accuracy=found["macro_recall"],
        macro_auroc=found["macro_auroc"],
    )


def _cross_validated(
    features: npt.NDArray[np.floating], labels: Ints, patients: Ints, classes: int, seed: int
) -> Floats:
    """Probabilities [n, classes] of every film by a classifier that saw no film of its patient."""
    probabilities = np.zeros((len(labels), classes))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(features, labels, patients):
        probabilities[test] = pixel_probe(features[train], labels[train], features[test], classes=classes)
    return probabilities


def _classifier() -> Pipeline:
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=_ITERATIONS)
    )


def _names(sources: Iterable[object]) -> list[str]:
    return sorted({str(source) for source in sources})
