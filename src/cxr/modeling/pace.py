"""The order of films and the course of the learning rate: pure functions of seed, epoch and step."""

import math

import numpy as np
import numpy.typing as npt

from cxr.contracts.recipe import Schedule
from cxr.modeling.distributed import Processes


def learning_rate_factor(step: int, *, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at `step` of `steps`: linear warm-up, then a cosine to zero.

    >>> [round(learning_rate_factor(s, steps=10, warmup=2), 2) for s in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def batches(
    films: int,
    schedule: Schedule,
    *,
    seed: int,
    epoch: int,
    processes: Processes,
    chances: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.int64]:
    """Rows of each step of an epoch for this process, int64 [steps, batch]; the last batch is filled from the first.

    Args:
        films: in an epoch.
        schedule: its batch size.
        seed: of the order.
        epoch: from 1.
        processes: this process's place; there are at most as many as films in a batch.
        chances: how likely each row is, of any number of rows; None draws each of `films` rows once.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(films) if chances is None else rng.choice(len(chances), films, p=chances)
    steps = math.ceil(films / schedule.batch_size)
    filled = np.resize(order, steps * schedule.batch_size).reshape(steps, schedule.batch_size)
    return filled[:, processes.rank :: processes.world]
