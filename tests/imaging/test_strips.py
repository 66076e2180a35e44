import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.imaging.strips import by_strips, strips


@given(height=st.integers(1, 3000), width=st.integers(1, 70_000))
def test_strips_have_every_row_once_and_few_pixels(height: int, width: int) -> None:
    parts = list(strips(height, width))
    np.testing.assert_array_equal(np.concatenate([np.arange(height)[rows] for rows in parts]), np.arange(height))
    assert max(rows.stop - rows.start for rows in parts) <= max(1, 2**16 // width)


@pytest.mark.parametrize("shape", [(200_000,), (1, 1), (700, 300), (700, 300, 3)])
def test_what_a_function_gives_by_strips_is_what_it_gives_at_once(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, shape, dtype=np.uint16)
    np.testing.assert_array_equal(by_strips(lambda part: part / 3, values), values / 3)
    assert by_strips(lambda part: part.astype(np.float32), values).dtype == np.float32


def test_a_function_may_give_another_shape_for_a_row() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (700, 300, 3), dtype=np.uint8)
    np.testing.assert_array_equal(by_strips(lambda part: part.sum(axis=2), colour), colour.sum(axis=2))
