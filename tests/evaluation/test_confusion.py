import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from cxr.evaluation import confusion as decided
from cxr.evaluation.confusion import confusion


@st.composite
def decisions(draw):
    n = draw(st.integers(1, 30))
    finding = st.integers(0, 2)
    labels = np.array(draw(st.lists(finding, min_size=n, max_size=n)))
    chosen = np.array(draw(st.lists(finding, min_size=n, max_size=n)))
    weights = draw(st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=1, max_size=3))
    weights = np.array(weights, float)
    weights[:, 0] += 1
    return labels, chosen, weights


@given(decisions())
def test_the_matrix_is_sklearns(case):
    labels, chosen, weights = case
    found = confusion(labels, chosen, weights, findings=3)
    for matrix, row in zip(found, weights, strict=True):
        np.testing.assert_array_equal(
            matrix, oracle.confusion_matrix(labels, chosen, labels=[0, 1, 2], sample_weight=row)
        )


@given(decisions())
def test_figures_of_merit_agree_with_sklearn_where_they_are_defined(case):
    labels, chosen, weights = case
    matrices = confusion(labels, chosen, weights, findings=3)
    for matrix, row in zip(matrices, weights, strict=True):
        precision, recall, f1, _ = oracle.precision_recall_fscore_support(
            labels, chosen, labels=[0, 1, 2], sample_weight=row, zero_division=np.nan
        )
        occurs = matrix.sum(axis=1) > 0
        np.testing.assert_allclose(decided.precision(matrix), precision)
        np.testing.assert_allclose(decided.recall(matrix), recall)
        np.testing.assert_allclose(decided.f1(matrix)[occurs], f1[occurs])
        assert np.isnan(decided.f1(matrix)[~occurs]).all()
        for finding in range(3):
            rest = labels != finding
            expected = (
                oracle.recall_score(rest, chosen != finding, sample_weight=row) if row[rest].sum() > 0 else np.nan
            )
            np.testing.assert_allclose(decided.specificity(matrix)[finding], expected)
        np.testing.assert_allclose(decided.accuracy(matrix), oracle.accuracy_score(labels, chosen, sample_weight=row))


def test_without_films_everything_is_undefined():
    nothing = np.zeros((3, 3))
    for metric in (decided.accuracy, decided.precision, decided.recall, decided.f1, decided.specificity):
        assert np.isnan(metric(nothing)).all()
