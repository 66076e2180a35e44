"""Time to corrupt films against the time of their forward passes.

    python bench/robustness.py [--architecture densenet121] [--size 224] [--films 64] [--device cpu]

Every corruption at every severity, with the second preprocessing; the claim is that the grid costs little more than its
forward passes.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from cxr.contracts.recipe import ModelRecipe, Preprocessing
from cxr.imaging.corrupt import CORRUPTIONS, SEVERITIES
from cxr.modeling.inference import infer
from cxr.modeling.network import build_network
from cxr.steps.corrupted import corrupt_films


def main() -> None:
    """Time every corruption and the forward pass, and print their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", default="densenet121")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    preprocessing, device = Preprocessing(size=options.size), torch.device(options.device)
    network = build_network(ModelRecipe(architecture=options.architecture), preprocessing, 3).to(device).eval()
    films = np.random.default_rng(0).integers(0, 256, (options.films, options.size, options.size), dtype=np.uint8)
    forward = best(lambda: infer(network, films, device=device))
    costs = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seeds = range(options.films)
        work = partial(corrupt_films, seeds=seeds, preprocessing=preprocessing, device=device, pool=pool)
        for name in CORRUPTIONS:
            times = [best(partial(work, films, (name, severity))) for severity in SEVERITIES]
            costs[name] = sum(times) / len(times)
    print(
        f"{options.architecture}, {options.size} px, {device}: forward {1e3 * forward / options.films:.2f} ms per film"
    )
    for name, cost in costs.items():
        print(f"{name:18} {1e3 * cost / options.films:7.2f} ms per film {100 * cost / forward:6.1f}% of a forward pass")
    print(f"ratio corruption / forward over the grid {sum(costs.values()) / len(costs) / forward:.3f}")


def best(work: Callable[[], object], repeats: int = 3) -> float:
    """Shortest wall time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
