import asyncio
import threading
import time

import pytest

from cxr.serving.engine import BackendClosed, Batcher, ForwardFailed
from support.gated_backend import LONG, POISON, Gated, answers, ask, film, turns


class TestFailure:
    def test_a_failing_pass_fails_its_films_and_no_others(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend, max_batch=3)
            before = ask(batcher, [100])
            await backend.pass_started()
            failing, after = ask(batcher, [1, POISON, 2]), ask(batcher, [3, 4])
            await turns()
            backend.gate.set()
            assert await answers([*before, *after]) == [100, 3, 4]
            errors = await asyncio.gather(*failing, return_exceptions=True)
            assert len({id(error) for error in errors}) == 3
            for error in errors:
                assert isinstance(error, ForwardFailed)
                assert isinstance(error.__cause__, RuntimeError)
                assert "one of 3 films failed with RuntimeError" in str(error)
                assert "memory" not in str(error)
            assert await answers(ask(batcher, [5])) == [5]
            await batcher.close()

        asyncio.run(main())

    def test_a_failing_observer_costs_no_result(self, bundle):
        told, seen = [], []

        def observe(times):
            seen.append(times)
            raise RuntimeError("observer")

        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
            batcher = Batcher(Gated(bundle), observe=observe)
            assert await answers(ask(batcher, [1, 2])) == [1, 2]
            assert await answers(ask(batcher, [3])) == [3]
            await batcher.close()

        asyncio.run(main())
        assert [str(error) for error in told] == ["observer", "observer"]
        assert [times.films for times in seen] == [2, 1]
        assert all(len(times.queued) == times.films and times.forward > 0 for times in seen)


class TestClose:
    def test_closing_ends_what_was_accepted_and_refuses_the_rest(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend, max_batch=2)
            tasks = ask(batcher, range(5))
            await backend.pass_started()
            closing = [asyncio.create_task(batcher.close()) for _ in range(2)]
            await turns()
            with pytest.raises(BackendClosed):
                await batcher.infer(film(9))
            assert not any(one.done() for one in closing)
            backend.gate.set()
            await asyncio.wait_for(asyncio.gather(*closing), LONG)
            assert await answers(tasks) == [0, 1, 2, 3, 4]
            await batcher.close()

        asyncio.run(main())
        assert backend.passes == [2, 2, 1]
        assert backend.released
        assert not [one for one in threading.enumerate() if one.name.startswith("inference") and one.is_alive()]

    def test_a_pass_that_nobody_waits_for_ends_before_its_backend_closes(self, bundle):
        backend = Gated(bundle, opened=False)

        async def main():
            batcher = Batcher(backend)
            (task,) = ask(batcher, [1])
            await backend.pass_started()
            task.cancel()
            closing = asyncio.create_task(batcher.close())
            await turns()
            assert not backend.released
            backend.gate.set()
            await asyncio.wait_for(closing, LONG)

        asyncio.run(main())
        assert backend.passes == [1]
        assert backend.released

    def test_an_idle_batcher_closes_at_once(self, bundle):
        async def main():
            backend = Gated(bundle)
            started = time.perf_counter()
            await Batcher(backend, max_wait=LONG).close()
            assert time.perf_counter() - started < LONG / 2
            assert backend.released

        asyncio.run(main())
