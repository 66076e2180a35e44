import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cxr.explain.localisation import SIDE, LesionScore, mean_scores, score_lesion


def map_with_peak(row, column, cells=7):
    activation = np.full((cells, cells), -1, np.float32)
    activation[row, column] = 1
    return activation


def lesion_at(rows, columns, height=224, width=224):
    mask = np.zeros((height, width), np.bool_)
    mask[rows, columns] = True
    return mask


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 223), st.integers(0, 223))
def test_a_peak_hits_within_15_pixels(row, column, y, x):
    score = score_lesion(map_with_peak(row, column), lesion_at(y, x))
    distance = np.hypot(row * 32 + 16 - y, column * 32 + 16 - x)
    assume(abs(distance - 15) > 1.5)  # the peak lies on the corner of four pixels
    assert score.pointing_game == (distance <= 15)


def test_tolerance_is_measured_at_224_whatever_the_film():
    """A lesion in the left column of a film; the peak is 16 of 224 pixels to the right of it."""
    for height, width in ((112, 448), (500, 224), (224, 224)):
        lesion = lesion_at(slice(None), 0, height, width)
        column_width = SIDE / width
        away = (int(width * 0.5 / 7) * column_width) - 0
        for tolerance, hit in ((away - 0.1, 0), (away + 0.1, 1)):
            assert score_lesion(map_with_peak(3, 0), lesion, tolerance=tolerance).pointing_game == hit


def test_chance_is_how_often_a_random_place_hits():
    lesion = lesion_at(slice(60, 90), slice(100, 150))
    rows, columns = np.mgrid[:224, :224]
    outside = np.hypot(
        np.maximum(np.maximum(60 - rows, rows - 89), 0), np.maximum(np.maximum(100 - columns, columns - 149), 0)
    )
    assert score_lesion(map_with_peak(0, 0), lesion).pointing_chance == pytest.approx((outside <= 15).mean())


def test_a_flat_map_has_the_energy_of_its_area():
    lesion = lesion_at(slice(0, 50), slice(0, 100), 150, 300)
    score = score_lesion(np.ones((7, 7), np.float32), lesion)
    assert score.energy_inside == pytest.approx(score.lesion_area) == pytest.approx(5000 / 45000)


def test_negative_evidence_is_no_energy():
    lesion = lesion_at(slice(0, 112), slice(None))
    activation = np.full((2, 1), -5, np.float32)
    assert score_lesion(activation, lesion).energy_inside == 0
    activation[0] = 5
    assert score_lesion(activation, lesion).energy_inside > 0.95


def test_means_are_over_films_and_intervals_over_patients():
    rng = np.random.default_rng(0)
    scores = [LesionScore(*row) for row in rng.random((40, 4))]
    one_film_each = mean_scores(scores, [str(number) for number in range(40)], resamples=500, seed=1)
    few_patients = mean_scores(scores, ["ab"[number >= 20] for number in range(40)], resamples=500, seed=1)
    for column, name in enumerate(LesionScore._fields):
        assert one_film_each[name].value == pytest.approx(np.array(scores)[:, column].mean())
        assert one_film_each[name].low < one_film_each[name].value < one_film_each[name].high
        assert few_patients[name].value == one_film_each[name].value
    spread = {round(few_patients["lesion_area"].low, 9), round(few_patients["lesion_area"].high, 9)}
    halves = {round(float(np.mean([s.lesion_area for s in part])), 9) for part in (scores[:20], scores[20:])}
    assert spread == halves, "with two patients the interval runs from one to the other"


def test_without_masks_the_means_are_undefined_with_a_reason():
    for estimate in mean_scores([], [], resamples=100, seed=0).values():
        assert estimate.value is None
        assert estimate.reason == "no film has a lesion mask"
