import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cxr.domain import TAXONOMY
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.unseen import FEWEST, UnseenFilms, score_unseen

NORMAL, PNEUMONIA, TB = range(3)


def unseen(counts, *, seed=0, skill=1.0):
    """Films by (source, label), one per patient, with random probabilities that lean to the truth by `skill`."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.full(count, label) for (_, label), count in counts.items()]).astype(np.int64)
    sources = [source for (source, _), count in counts.items() for _ in range(count)]
    logits = rng.normal(size=(len(labels), 3)) + skill * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return UnseenFilms(ScoredFilms(labels, probabilities, np.arange(len(labels)), tuple(TAXONOMY)), sources)


MIXED = {("a", NORMAL): 40, ("a", PNEUMONIA): 30, ("b", TB): 50, ("b", NORMAL): FEWEST - 1, ("c", NORMAL): 20}


def macro(films, rows):
    labels, probabilities = films.films.labels[rows], films.films.probabilities[rows]
    return np.mean([roc_auc_score(labels == number, probabilities[:, number]) for number in np.unique(labels)])


def test_a_source_borrows_the_findings_that_it_lacks():
    films = unseen(MIXED)
    scores = {score.source: score for score in score_unseen(films, resamples=100, seed=1).sources}
    assert scores["a"].own == ("Normal", "Pneumonia")
    assert scores["a"].borrowed == ("Tuberculosis",)
    assert scores["b"].own == ("Tuberculosis",)
    assert scores["b"].borrowed == ("Normal", "Pneumonia")
    assert scores["b"].films == 50
    labels, sources = films.films.labels, np.array(films.sources)
    rows = ((sources == "b") & (labels == TB)) | ((sources != "b") & (labels != TB))
    assert scores["b"].macro_auroc.value == pytest.approx(macro(films, rows))


def test_worst_and_mean_are_those_of_the_sources():
    scores = score_unseen(unseen(MIXED), resamples=200, seed=1)
    values = [score.macro_auroc.value for score in scores.sources]
    assert scores.worst.value == pytest.approx(min(values))
    assert scores.mean.value == pytest.approx(np.mean(values))
    assert scores.mean.low < scores.mean.value < scores.mean.high


def test_pairs_are_within_a_source_or_with_every_source_that_has_normal_films():
    films = unseen(MIXED)
    pairs = {
        (pair.finding, pair.source, pair.normal_source): pair
        for pair in score_unseen(films, resamples=100, seed=1).pairs
    }
    assert set(pairs) == {
        ("Pneumonia", "a", "a"),
        ("Tuberculosis", "b", "a"),
        ("Tuberculosis", "b", "c"),
    }
    labels, sources = films.films.labels, np.array(films.sources)
    rows = ((sources == "b") & (labels == TB)) | ((sources == "c") & (labels == NORMAL))
    odds = np.log(films.films.probabilities[rows, TB] / films.films.probabilities[rows, NORMAL])
    assert pairs["Tuberculosis", "b", "c"].auroc.value == pytest.approx(roc_auc_score(labels[rows] == TB, odds))


def test_one_finding_alone_has_no_figure_but_a_reason():
    scores = score_unseen(unseen({("a", TB): 20, ("b", TB): 20}), resamples=100, seed=1)
    assert scores.worst.value is None
    assert scores.worst.reason
    assert scores.pairs == ()


@settings(max_examples=20, deadline=None)
@given(skill=st.floats(0, 4), seed=st.integers(0, 100))
def test_the_worst_source_is_never_better_than_the_mean(skill, seed):
    scores = score_unseen(unseen(MIXED, seed=seed, skill=skill), resamples=100, seed=1)
    assert scores.worst.value <= scores.mean.value <= 1
