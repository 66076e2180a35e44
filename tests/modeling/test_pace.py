import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.recipe import Schedule
from cxr.modeling.distributed import Processes
from cxr.modeling.pace import batches, learning_rate_factor


@given(films=st.integers(1, 300), size=st.integers(1, 40), seed=st.integers(0, 5), epoch=st.integers(1, 5))
def test_every_film_is_seen_and_every_batch_is_full(films, size, seed, epoch):
    rows = batches(films, Schedule(batch_size=size), seed=seed, epoch=epoch, processes=Processes())
    assert set(rows.ravel()) == set(range(films))
    assert rows.shape == (-(-films // size), size)


@given(world=st.integers(1, 4))
def test_processes_share_each_batch(world):
    schedule = Schedule(batch_size=8)
    whole = batches(50, schedule, seed=1, epoch=1, processes=Processes())
    parts = [batches(50, schedule, seed=1, epoch=1, processes=Processes(rank, world)) for rank in range(world)]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts, axis=1)), np.sort(whole))


def test_epochs_differ():
    one, two = (batches(50, Schedule(), seed=1, epoch=epoch, processes=Processes()) for epoch in (1, 2))
    assert not np.array_equal(one, two)


@given(steps=st.integers(2, 200), warmup=st.integers(0, 50))
def test_learning_rate_climbs_then_falls(steps, warmup):
    warmup = min(warmup, steps // 2)
    factors = [learning_rate_factor(step, steps=steps, warmup=warmup) for step in range(steps)]
    top = max(0, warmup - 1)
    assert factors[top] == pytest.approx(1.0)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors)


def test_chances_decide_what_is_drawn():
    chances = np.array([0.0, 0.75, 0.25, 0.0])
    rows = batches(4000, Schedule(batch_size=32), seed=1, epoch=1, processes=Processes(), chances=chances).ravel()
    counts = np.bincount(rows, minlength=4) / len(rows)
    assert len(rows) == 4000
    np.testing.assert_allclose(counts, chances, atol=0.03)
