import numpy as np

from cxr.explain.overlay import OUTLINE, outlined, overlay


def film(side=64):
    return np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)


def test_without_evidence_the_film_stays_as_it_is():
    picture = overlay(film(), np.full((4, 4), -2, np.float32))
    np.testing.assert_array_equal(picture, np.repeat(film()[..., None], 3, axis=2))


def test_colour_lies_where_the_evidence_is():
    activation = np.full((4, 4), -1, np.float32)
    activation[0, 3] = 2
    picture = overlay(film(), activation).astype(int)
    colourful = np.ptp(picture, axis=2)
    assert colourful[:16, 48:].mean() > 30
    assert colourful[32:, :32].max() == 0


def test_only_the_shape_of_a_map_counts_not_its_scale():
    activation = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    np.testing.assert_allclose(overlay(film(), activation), overlay(film(), activation * 1e3), atol=1)


def test_an_outline_follows_the_edge_of_a_mask_of_another_size():
    lesion = np.zeros((128, 256), np.bool_)
    lesion[32:64, 64:192] = True
    drawn = outlined(np.zeros((64, 64, 3), np.uint8), lesion)
    line = (drawn == OUTLINE).all(axis=2)
    expected = np.zeros((64, 64), np.bool_)
    expected[16:32, 16:48] = True
    expected[17:31, 17:47] = False
    np.testing.assert_array_equal(line, expected)
    assert (drawn[~line] == 0).all()
