import pytest

from cxr.serving.engine.passes import films_per_pass


@pytest.mark.parametrize(("side", "films"), [(96, 10), (128, 6), (224, 1), (1024, 1)])
def test_small_films_run_together_and_large_ones_alone(side, films):
    assert films_per_pass(side) == films
