"""Films through worker processes: bounded in number and in what is under way, and outliving a decoder that crashes."""

import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context, parent_process

from cxr.steps.ingestion.film import Job, Outcome, Refusal, Store, process

_LARGEST_CHUNK = 8
_CHUNKS_PER_WORKER = 3

Chunk = list[Job]
UnderWay = dict[Future[list[Outcome]], Chunk]


def process_all(jobs: Sequence[Job], store: Store, *, workers: int) -> Iterator[Outcome]:
    """Process all jobs on `workers` processes; yields outcomes as they are ready, in any order.

    Films are read by processes only, never here: native decoders can be brought down by damaged bytes. When one is,
    the films that were under way are tried again one by one, and the one that does it again is refused.
    """
    size = max(1, min(_LARGEST_CHUNK, len(jobs) // (workers * _CHUNKS_PER_WORKER)))
    chunks = (list(jobs[start : start + size]) for start in range(0, len(jobs), size))
    workers = max(1, min(workers, len(jobs)))
    while True:
        under_way: UnderWay = {}
        try:
            yield from _drain(chunks, store, workers, under_way)
            return
        except BrokenProcessPool:
            suspects = [job for chunk in under_way.values() for job in chunk]
        yield from _one_by_one(suspects, store)


def _drain(chunks: Iterator[Chunk], store: Store, workers: int, under_way: UnderWay) -> Iterator[Outcome]:
    """Yield the outcomes of chunks; what has not been yielded when a process dies is left in `under_way`."""
    with _pool(workers) as pool:
        try:
            for chunk in itertools.islice(chunks, workers * _CHUNKS_PER_WORKER):
                _submit(pool, chunk, store, under_way)
            while under_way:
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    outcomes = future.result()
                    del under_way[future]
                    yield from outcomes
                    for chunk in itertools.islice(chunks, 1):
                        _submit(pool, chunk, store, under_way)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _submit(pool: ProcessPoolExecutor, chunk: Chunk, store: Store, under_way: UnderWay) -> None:
    try:
        under_way[pool.submit(process, chunk, store)] = chunk
    except BrokenProcessPool:
        under_way[Future()] = chunk
        raise


def _one_by_one(jobs: Chunk, store: Store) -> Iterator[Outcome]:
    """Process films singly; the one that ends its process is refused."""
    remaining = iter(jobs)
    lost = True
    while lost:
        lost = False
        with _pool(1) as pool:
            for job in remaining:
                try:
                    yield pool.submit(process, [job], store).result()[0]
                except BrokenProcessPool:
                    reason = "decoding the film ends the process that tries it; export it again, uncompressed"
                    yield Outcome(identity=job.identity, film=Refusal(code="unreadable", reason=reason))
                    lost = True
                    break


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, which would wait for work forever: they watch for its end."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=partial(_watch, parent), daemon=True).start()


def _watch(parent: object) -> None:
    parent.join()  # type: ignore[attr-defined]
    os._exit(1)
