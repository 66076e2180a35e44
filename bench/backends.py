"""Forward passes of each serving backend on the CPU, against eager PyTorch with the same weights.

    python bench/backends.py BUNDLE [BUNDLE …] [--threads 2] [--batches 1 8 16] [--turns 10] [--passes 5]

`lone request` is one film through the batcher, event loop and thread change included; the other columns are bare
passes. Backends take turns of a few passes in one process, the first of each turn is not counted, and medians are
compared. More than 1 × is faster than PyTorch.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cxr.contracts.bundle import Bundle, read_bundle
from cxr.serving.engine import Backend, BackendName, Batcher, open_backend, warm_up

NAMES: tuple[BackendName, ...] = ("torch", "onnxruntime", "openvino")
LONE = "lone request"


def passes(backend: Backend, films: np.ndarray, count: int) -> list[float]:
    """Seconds of each of `count` forward passes, after one that is not counted."""
    return [seconds(lambda: backend.infer(films, maps=True)) for _ in range(count + 1)][1:]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


async def requests(batcher: Batcher, film: np.ndarray, count: int) -> list[float]:
    """Seconds of each of `count` lone requests, after one that is not counted."""
    took = []
    for _ in range(count + 1):
        start = time.perf_counter()
        await batcher.infer(film)
        took.append(time.perf_counter() - start)
    return took[1:]


async def measure(bundle: Bundle, options: argparse.Namespace) -> dict[tuple[str, str], float]:
    """Median seconds by backend and column."""
    batchers = {name: Batcher(open_backend(name, bundle, threads=options.threads)) for name in NAMES}
    side, largest = bundle.manifest.preprocessing.size, max(options.batches)
    films = np.random.default_rng(0).integers(0, 256, (largest, side, side), dtype=np.uint8)
    took: dict[tuple[str, str], list[float]] = {}
    for batcher in batchers.values():
        warm_up(batcher.backend, batch=largest)
    for _ in range(options.turns):
        for name, batcher in batchers.items():
            took.setdefault((name, LONE), []).extend(await requests(batcher, films[0], options.passes))
            for batch in options.batches:
                took.setdefault((name, str(batch)), []).extend(passes(batcher.backend, films[:batch], options.passes))
    for batcher in batchers.values():
        await batcher.close()
    return {key: statistics.median(values) for key, values in took.items()}


def show(bundle: Bundle, medians: dict[tuple[str, str], float], options: argparse.Namespace) -> None:
    """Print milliseconds per film, and how many times faster than PyTorch that is."""
    manifest = bundle.manifest
    side, count = manifest.preprocessing.size, options.turns * options.passes
    print(f"{manifest.architecture}, {side} px, {options.threads} threads, ms per film, median of {count} passes")
    columns = [(LONE, LONE, 1), *((str(batch), f"batch {batch}", batch) for batch in options.batches)]
    print(" " * 14 + "".join(f"{title:>22}" for _, title, _ in columns))
    for name in NAMES:
        cells = [
            f"{medians[name, key] / films * 1e3:.2f} ({medians[NAMES[0], key] / medians[name, key]:.2f} ×)"
            for key, _, films in columns
        ]
        print(f"{name:14}" + "".join(f"{cell:>22}" for cell in cells))


def main() -> None:
    """Measure every bundle given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    for folder in options.bundles:
        bundle = read_bundle(folder)
        show(bundle, asyncio.run(measure(bundle, options)), options)


if __name__ == "__main__":
    main()
