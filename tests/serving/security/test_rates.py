"""The rate limiter, held against exact arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.serving.problems import RateLimited
from cxr.serving.security.keys import KeyIdentity, Scope
from cxr.serving.security.rates import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _identity(name="0" * 12, rate=60):
    return KeyIdentity(id=name, scopes=frozenset({Scope.PREDICT}), rate_per_minute=rate)


def _taken(limiter, identity):
    try:
        limiter.take(identity)
    except RateLimited:
        return False
    return True


quarters = st.integers(0, 400).map(lambda n: Fraction(n, 4))


@given(rate=st.sampled_from([15, 60, 240, 960]), waits=st.lists(quarters, max_size=80))
def test_it_admits_what_a_bucket_in_exact_numbers_admits(rate, waits):
    """Waits are quarters of a second and rates powers of two a quarter, so that floats are exact as well."""
    clock = Clock()
    limiter, identity = RateLimiter(clock=clock), _identity(rate=rate)
    tokens = Fraction(rate)
    for wait in waits:
        clock.now += float(wait)
        tokens = min(Fraction(rate), tokens + wait * rate / 60)
        admitted = tokens >= 1
        tokens -= admitted
        assert _taken(limiter, identity) == admitted


@given(
    rate=st.integers(1, 300),
    waits=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    start=st.integers(0, 59),
    length=st.integers(1, 60),
)
def test_no_stretch_of_time_has_more_than_a_full_bucket_and_what_flows_in(rate, waits, start, length):
    clock = Clock()
    limiter, identity = RateLimiter(clock=clock), _identity(rate=rate)
    times = []
    for wait in waits:
        clock.now += wait
        times += [clock.now] * sum(_taken(limiter, identity) for _ in range(5))
    stretch = times[start : start + length]
    if stretch:
        assert len(stretch) <= rate + (stretch[-1] - stretch[0]) * rate / 60 + 1e-6


@given(rate=st.integers(1, 1000), wait=st.floats(0, 100))
def test_retry_after_is_when_the_next_request_is_admitted(rate, wait):
    clock = Clock()
    limiter, identity = RateLimiter(clock=clock), _identity(rate=rate)
    while _taken(limiter, identity):
        pass
    clock.now += min(wait, 59 / rate)
    with pytest.raises(RateLimited) as raised:
        limiter.take(identity)
    clock.now += raised.value.retry_after * 0.999
    assert not _taken(limiter, identity)
    clock.now += raised.value.retry_after * 0.001 + 1e-6
    assert _taken(limiter, identity)


def test_a_refused_request_costs_nothing():
    clock = Clock()
    limiter, identity = RateLimiter(clock=clock), _identity(rate=60)
    assert sum(_taken(limiter, identity) for _ in range(1000)) == 60
    clock.now += 1
    assert _taken(limiter, identity)


def test_keys_do_not_share_a_bucket():
    limiter = RateLimiter(clock=Clock())
    assert _taken(limiter, _identity("a" * 12, rate=1))
    assert not _taken(limiter, _identity("a" * 12, rate=1))
    assert _taken(limiter, _identity("b" * 12, rate=1))


def test_a_rate_that_was_lowered_counts_at_once():
    limiter = RateLimiter(clock=Clock())
    limiter.take(_identity(rate=1000))
    assert sum(_taken(limiter, _identity(rate=5)) for _ in range(20)) == 5


def test_memory_is_bounded_and_the_busiest_stay():
    clock = Clock()
    limiter = RateLimiter(most=3, clock=clock)
    busy = _identity("busy", rate=1)
    assert _taken(limiter, busy)
    for number in range(100):
        limiter.take(_identity(f"key {number}"))
        assert not _taken(limiter, busy)
    assert len(limiter._buckets) == 3
