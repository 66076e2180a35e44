import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxr.explain.activation import enlarged, peak

maps = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(-50, 50))


@given(maps, st.integers(1, 6), st.integers(1, 6))
def test_enlarging_is_torchs_bilinear_interpolation(activation, taller, wider):
    height, width = activation.shape[0] * taller, activation.shape[1] * wider
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(activation.copy())[None, None], size=(height, width), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(enlarged(activation, width=width, height=height), expected[0, 0].numpy(), atol=1e-4)


@given(maps)
def test_the_enlarged_map_is_highest_at_the_peak(activation):
    height, width = activation.shape[0] * 15, activation.shape[1] * 15
    place, large = peak(activation), enlarged(activation, width=width, height=height)
    assert large[int(place.y * height), int(place.x * width)] == pytest.approx(large.max(), abs=1e-4)


def test_the_peak_is_the_centre_of_its_cell():
    activation = np.zeros((2, 4), np.float32)
    activation[1, 2] = 3
    assert peak(activation) == (0.625, 0.75)
