import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.evaluation.counting import log_choose, upper_share


@given(st.integers(0, 300), st.data())
def test_ways_to_choose(n, data):
    k = data.draw(st.integers(0, n))
    assert log_choose(np.array([n]), np.array([k]))[0] == pytest.approx(math.log(math.comb(n, k)), abs=1e-8)


@given(st.integers(1, 80), st.data(), st.sampled_from([0.5, 0.9, 0.95]))
def test_so_few_hits_would_be_rare_at_the_upper_limit(trials, data, confidence):
    hits = data.draw(st.integers(0, trials - 1))
    share = upper_share(hits=hits, trials=trials, confidence=confidence)
    chance = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits + 1))
    assert chance == pytest.approx(1 - confidence, abs=1e-6)
    assert share > hits / trials or confidence == 0.5


def test_nothing_but_hits_says_nothing_of_the_upper_end():
    assert upper_share(hits=7, trials=7, confidence=0.9) == 1


def test_a_part_of_a_hit_is_a_hit():
    three = pytest.approx(upper_share(hits=3, trials=50, confidence=0.9))
    assert upper_share(hits=2.4, trials=50, confidence=0.9) == three
    assert upper_share(hits=3 + 1e-12, trials=50, confidence=0.9) == three
