import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cxr.domain import TAXONOMY
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.unseen import FEWEST, UnseenFilms, score_unseen, worst_source_auroc

NORMAL, PNEUMONIA, TB = range(3)


def unseen(counts, *, seed=0, skill=1.0, folds=({"a", "b"}, {"b", "c"}, {"a", "c"})):
    """Films by (source, label), one per patient, with random probabilities that lean to the truth by `skill`.

    Every fold is a network, tested on all films of its sources.
    """
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.full(count, label) for (_, label), count in counts.items()]).astype(np.int64)
    sources = [source for (source, _), count in counts.items() for _ in range(count)]
    rows = [np.flatnonzero([source in fold for source in sources]) for fold in folds]
    film = np.concatenate(rows)
    logits = rng.normal(size=(len(film), 3)) + skill * np.eye(3)[labels[film]]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    networks = np.repeat(np.arange(len(folds)), [len(found) for found in rows])
    scored = ScoredFilms(labels[film], probabilities, np.unique(film, return_inverse=True)[1], tuple(TAXONOMY))
    return UnseenFilms(scored, [sources[number] for number in film], networks)


MIXED = {("a", NORMAL): 40, ("a", PNEUMONIA): 30, ("b", TB): 50, ("b", NORMAL): FEWEST - 1, ("c", NORMAL): 20}


def macro(films, rows):
    labels, probabilities = films.films.labels[rows], films.films.probabilities[rows]
    return np.mean([roc_auc_score(labels == number, probabilities[:, number]) for number in np.unique(labels)])


def test_a_source_borrows_the_findings_that_it_lacks_from_what_was_withheld_with_it():
    films = unseen(MIXED)
    scores = {score.source: score for score in score_unseen(films, resamples=100, seed=1).sources}
    assert scores["a"].own == ("Normal", "Pneumonia")
    assert scores["a"].borrowed == ("Tuberculosis",)
    assert scores["a"].networks == 2, "with c there is no tuberculosis to borrow, yet two findings to tell apart"
    assert scores["b"].own == ("Tuberculosis",)
    assert scores["b"].borrowed == ("Normal", "Pneumonia")
    assert (scores["b"].films, scores["b"].networks) == (50, 2)
    labels, sources = films.films.labels, np.array(films.sources)
    rows = ((sources == "b") & (labels == TB)) | ((sources != "b") & (labels != TB))
    expected = [macro(films, rows & (films.folds == fold)) for fold in (0, 1)]
    assert scores["b"].macro_auroc.value == pytest.approx(np.mean(expected))


def test_films_of_two_networks_are_never_compared():
    """Each network has its own bias, which would turn every comparison across them."""
    films = unseen(MIXED, skill=6.0)
    biased = films.films.probabilities.copy()
    biased[films.folds == 1, TB] = 0.5 * biased[films.folds == 1, TB] + 0.5
    biased /= biased.sum(axis=1, keepdims=True)
    scored = ScoredFilms(films.films.labels, biased, films.films.patients, films.films.findings)
    scores = score_unseen(UnseenFilms(scored, films.sources, films.folds), resamples=100, seed=1)
    assert scores.worst.value > 0.97


def test_worst_and_mean_are_those_of_the_sources():
    scores = score_unseen(unseen(MIXED), resamples=200, seed=1)
    values = [score.macro_auroc.value for score in scores.sources]
    assert scores.worst.value == pytest.approx(min(values))
    assert scores.mean.value == pytest.approx(np.mean(values))
    assert scores.mean.low < scores.mean.value < scores.mean.high
    assert worst_source_auroc(unseen(MIXED)) == pytest.approx(min(values))


def test_pairs_are_within_a_source_or_with_a_source_that_the_same_network_never_saw():
    films = unseen(MIXED, folds=({"a", "b"}, {"a", "c"}))
    pairs = {
        (pair.finding, pair.source, pair.normal_source): pair
        for pair in score_unseen(films, resamples=100, seed=1).pairs
    }
    assert set(pairs) == {("Pneumonia", "a", "a"), ("Tuberculosis", "b", "a")}, "no network was tested on b and c"
    assert (pairs["Pneumonia", "a", "a"].networks, pairs["Pneumonia", "a", "a"].films) == (2, 30)
    labels, sources = films.films.labels, np.array(films.sources)
    rows = ((sources == "b") & (labels == TB)) | ((sources == "a") & (labels == NORMAL) & (films.folds == 0))
    odds = np.log(films.films.probabilities[rows, TB] / films.films.probabilities[rows, NORMAL])
    assert pairs["Tuberculosis", "b", "a"].auroc.value == pytest.approx(roc_auc_score(labels[rows] == TB, odds))


def test_a_source_that_no_network_can_be_judged_on_is_left_out():
    scores = score_unseen(unseen(MIXED, folds=({"a"}, {"b"}, {"c"})), resamples=100, seed=1)
    assert [score.source for score in scores.sources] == ["a"]
    assert scores.worst.value == scores.mean.value


def test_a_source_with_too_few_patients_of_everything_is_not_judged_by_others_films():
    scores = score_unseen(unseen(MIXED | {("c", NORMAL): FEWEST - 1, ("c", TB): 1}), resamples=100, seed=1)
    assert [score.source for score in scores.sources] == ["a", "b"]
    assert scores.mean.value == pytest.approx(np.mean([score.macro_auroc.value for score in scores.sources]))


def test_films_without_an_error_are_no_certainty():
    scores = score_unseen(unseen(MIXED, skill=90.0), resamples=100, seed=1)
    for found in (scores.worst, scores.mean, *(pair.auroc for pair in scores.pairs)):
        assert found.value == 1
        assert 0.5 < found.low < 1
    assert scores.worst.low <= scores.mean.low


def test_one_finding_alone_has_no_figure_but_a_reason():
    scores = score_unseen(unseen({("a", TB): 20, ("b", TB): 20}), resamples=100, seed=1)
    assert scores.worst.value is None
    assert scores.worst.reason
    assert scores.pairs == ()
    assert scores.sources == ()


@settings(max_examples=20)
@given(skill=st.floats(0, 4), seed=st.integers(0, 100))
def test_the_worst_source_is_never_better_than_the_mean(skill, seed):
    scores = score_unseen(unseen(MIXED, seed=seed, skill=skill), resamples=100, seed=1)
    assert scores.worst.value <= scores.mean.value <= 1


def test_the_worst_of_many_equal_sources_lies_in_its_interval():
    """The least of ten resampled figures is lower than the least of the figures themselves."""
    counts = {(name, label): 30 for name in "abcdefghij" for label in (NORMAL, PNEUMONIA)}
    inside = 0
    for seed in range(20):
        worst = score_unseen(
            unseen(counts, seed=seed, folds=[{name} for name in "abcdefghij"]), resamples=100, seed=1
        ).worst
        inside += worst.low <= worst.value <= worst.high
    assert inside == 20
