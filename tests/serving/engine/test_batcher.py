import asyncio

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr.serving.engine import Batcher, QueueFull
from support.gated_backend import LONG, SIDE, Gated, answers, ask, film, turns


class TestWaiting:
    def test_a_lone_film_runs_at_once(self, bundle):
        async def main():
            batcher = Batcher(Gated(bundle), max_wait=LONG)
            batcher.begin()
            batcher.done()
            one = await asyncio.wait_for(batcher.infer(film(7)), LONG / 2)
            await batcher.close()
            return one

        one = asyncio.run(main())
        assert (one.logits[0], one.batch) == (7, 1)
        assert 0 <= one.queued < LONG / 2
        assert 0 < one.forward < LONG / 2
        assert one.row.maps.shape == (1, 3, 2, 2)

    def test_films_of_one_turn_of_the_loop_go_together(self, bundle):
        backend = Gated(bundle)

        async def main():
            batcher = Batcher(backend)
            assert await answers(ask(batcher, range(6))) == list(range(6))
            await batcher.close()

        asyncio.run(main())
        assert backend.passes == [6]

    def test_a_batch_forms_while_another_runs_and_no_pass_is_too_large(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend, max_batch=8)
            tasks = ask(batcher, [100])
            await backend.pass_started()
            tasks += ask(batcher, range(20))
            await turns()
            backend.gate.set()
            assert await answers(tasks) == [100, *range(20)]
            await batcher.close()

        asyncio.run(main())
        assert backend.passes == [1, 8, 8, 4]

    def test_a_film_waits_for_announced_company_no_longer_than_allowed(self, bundle):
        async def main():
            batcher = Batcher(Gated(bundle), max_wait=0.1)
            batcher.begin()
            one = await batcher.infer(film(7))
            assert batcher.expected() == 1
            batcher.done()
            await batcher.close()
            return one

        assert 0.09 < asyncio.run(main()).queued < 5

    def test_announced_company_is_awaited_and_then_nothing_more(self, bundle):
        backend = Gated(bundle)

        async def decoded(batcher, value):
            batcher.done()
            return await batcher.infer(film(value))

        async def main():
            batcher = Batcher(backend, max_wait=LONG)
            tasks = []
            for _ in range(2):
                batcher.begin()
            for value in (1, 2):
                tasks.append(asyncio.create_task(decoded(batcher, value)))
                await turns()
            assert await answers(tasks) == [1, 2]
            await batcher.close()

        asyncio.run(main())
        assert backend.passes == [2]

    def test_company_that_does_not_come_is_not_awaited(self, bundle):
        async def main():
            batcher = Batcher(Gated(bundle), max_wait=LONG)
            batcher.begin()
            (task,) = ask(batcher, [1])
            await turns()
            assert not task.done()
            batcher.done()
            assert await answers([task]) == [1]
            await batcher.close()

        asyncio.run(main())

    def test_a_full_batch_waits_for_nobody(self, bundle):
        async def main():
            batcher = Batcher(Gated(bundle), max_wait=LONG, max_batch=2)
            batcher.begin()
            assert await answers(ask(batcher, [1, 2])) == [1, 2]
            batcher.done()
            await batcher.close()

        asyncio.run(main())

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        bursts=st.lists(st.integers(1, 12), min_size=1, max_size=6),
        max_batch=st.integers(1, 9),
        cancelled=st.sets(st.integers(0, 40)),
    )
    def test_every_film_gets_its_own_answer_whatever_the_load(self, bundle, bursts, max_batch, cancelled):
        backend = Gated(bundle)

        async def main():
            batcher = Batcher(backend, max_batch=max_batch, max_queue=100)
            tasks = []
            for burst in bursts:
                tasks += ask(batcher, range(len(tasks), len(tasks) + burst))
                await turns(2)
                for number in cancelled & set(range(len(tasks))):
                    tasks[number].cancel()
            await asyncio.wait(tasks)
            await batcher.close()
            return tasks

        tasks = asyncio.run(main())
        assert max(backend.passes, default=0) <= max_batch
        assert sum(backend.passes) <= len(tasks)
        assert backend.released
        for number, task in enumerate(tasks):
            assert task.cancelled() if number in cancelled and task.cancelled() else task.result().logits[0] == number


class TestQueue:
    def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend, max_queue=4)
            tasks = ask(batcher, [100])
            await backend.pass_started()
            tasks += ask(batcher, range(4))
            await turns()
            with pytest.raises(QueueFull, match="try again in") as full:
                await batcher.infer(film(50))
            assert full.value.retry_after == 1.0
            backend.gate.set()
            assert await answers(tasks) == [100, 0, 1, 2, 3]
            assert await answers(ask(batcher, [50])) == [50]
            await batcher.close()

        asyncio.run(main())

    def test_the_time_to_come_back_is_what_the_queue_will_take(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend, max_queue=10)
            (first,) = ask(batcher, [1])
            await backend.pass_started()
            await asyncio.sleep(0.1)
            backend.gate.set()
            forward = (await first).forward
            backend.gate.clear()
            tasks = ask(batcher, [2])
            await backend.pass_started()
            tasks += ask(batcher, range(10))
            await turns()
            with pytest.raises(QueueFull) as full:
                await batcher.infer(film(50))
            assert full.value.retry_after == pytest.approx(10 * forward)
            backend.gate.set()
            await answers(tasks)
            await batcher.close()

        asyncio.run(main())

    def test_a_cancelled_film_frees_its_place_and_does_not_run(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend, max_queue=3)
            tasks = ask(batcher, [100])
            await backend.pass_started()
            tasks += ask(batcher, range(3))
            await turns()
            tasks.pop(2).cancel()
            await turns()
            tasks += ask(batcher, [50])
            await turns()
            backend.gate.set()
            assert await answers(tasks) == [100, 0, 2, 50]
            await batcher.close()

        asyncio.run(main())
        assert backend.passes == [1, 3]

    def test_cancelling_a_film_that_runs_leaves_its_batch_alone(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend)
            tasks = ask(batcher, range(3))
            await backend.pass_started()
            tasks.pop(1).cancel()
            await turns()
            backend.gate.set()
            assert await answers(tasks) == [0, 2]
            await batcher.close()

        asyncio.run(main())

    @pytest.mark.parametrize("wrong", [np.zeros((SIDE, SIDE + 1), np.uint8), np.zeros((SIDE, SIDE), np.float32)])
    def test_a_film_of_another_kind_is_refused_before_it_meets_others(self, bundle, wrong):
        async def main():
            batcher = Batcher(Gated(bundle))
            tasks = ask(batcher, range(2))
            with pytest.raises(ValueError, match="films must be uint8"):
                await batcher.infer(wrong)
            assert await answers(tasks) == [0, 1]
            await batcher.close()

        asyncio.run(main())

    @pytest.mark.parametrize("limits", [{"max_batch": 0}, {"max_queue": 0}])
    def test_impossible_limits_are_refused(self, bundle, limits):
        with pytest.raises(ValueError, match="at least 1"):
            Batcher(Gated(bundle), **limits)
