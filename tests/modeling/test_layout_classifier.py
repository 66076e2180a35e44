import numpy as np
import pytest

from cxr.modeling.layout_classifier import HIDDEN, MEMBERS, fit_layout_classifier


@pytest.fixture(scope="module")
def clusters():
    """Four classes around four corners, with a feature that never varies."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 60)
    layouts = rng.normal(0, 0.3, (240, 6)).astype(np.float32)
    layouts[np.arange(240), classes] += 2
    layouts[:, 5] = 7
    return layouts, classes


def test_it_tells_clusters_apart(clusters):
    layouts, classes = clusters
    fitted = fit_layout_classifier(layouts, classes, seed=1)
    assert (fitted.scores(layouts).argmax(axis=1) == classes).mean() > 0.95
    assert fitted.hidden_weight.shape == (6, MEMBERS * HIDDEN)
    assert {array.dtype for array in vars(fitted).values()} == {np.dtype(np.float32)}


def test_the_seed_decides_the_weights(clusters):
    one, again, other = (fit_layout_classifier(*clusters, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.hidden_weight, again.hidden_weight)
    np.testing.assert_array_equal(one.weight, again.weight)
    assert not np.array_equal(one.weight, other.weight)


def test_a_feature_that_never_varied_in_training_does_not_take_over(clusters):
    layouts, classes = clusters
    fitted = fit_layout_classifier(layouts, classes, seed=1)
    shifted = layouts.copy()
    shifted[:, 5] += 0.001
    assert (fitted.scores(shifted).argmax(axis=1) == fitted.scores(layouts).argmax(axis=1)).mean() > 0.95
