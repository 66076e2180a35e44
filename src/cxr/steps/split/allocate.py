"""Groups of films into parts of given shares, so that every stratum is divided alike."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

_ATTEMPTS = 50
"""Orders to try while a part has none of a class; one is enough but where a handful of patients share rare classes."""


def allocate(films: pd.DataFrame, *, shares: Sequence[float], seed: int) -> pd.Series:
    """Divide films by group into parts, balanced by class and source together, by class, and over all.

    Groups are placed one by one, the largest first and at random within a size; each goes where it keeps the films
    placed so far closest to the shares, in the sum of squares over all strata. Every prefix is balanced, so that large
    and small groups are spread alike, and the small ones, placed last, even out what the large ones leave (after the
    greedy step of Sechidis et al. 2011, "On the stratification of multi-label data", for groups instead of films). Then
    groups are moved to parts that have none of a class, as long as no other part loses its last group of a class.

    Args:
        films: columns group, label (never null) and source (null is a source of its own). The order of rows is of no
            consequence.
        shares: of the parts, summing to 1.
        seed: of the order and of ties.

    Returns:
        Number of the part, 0 for the first, by group. A part has none of a class only where the class has fewer groups
        than there are parts, or where no way out was found.
    """
    names, cells, weights = _strata(films)
    presence = _presence(films, names)
    goal = np.asarray(shares, dtype=np.float64)
    possible = bool((presence.sum(axis=0) >= len(goal)).all())
    for attempt in range(_ATTEMPTS if possible else 1):
        rng = np.random.default_rng([seed, attempt])
        order, parts = _place(cells, weights, goal, rng)
        if _complete(parts, presence, cost=np.argsort(order[::-1]), count=len(goal)):
            break
    return pd.Series(parts, index=pd.Index(names, dtype=object))


def _place(
    cells: list[np.ndarray], weights: list[np.ndarray], goal: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The order in which groups were placed, and the part of each."""
    groups = len(cells)
    rank = rng.permutation(groups)
    ties = rng.random((groups, len(goal))) * 1e-6
    order = np.lexsort((rank, [-weight.max() for weight in weights]))
    seen = np.zeros(1 + max((int(cell.max()) for cell in cells), default=0))
    placed = np.zeros((len(seen), len(goal)))
    parts = np.zeros(groups, dtype=np.int64)
    for group in order:
        cell, weight = cells[group], weights[group]
        seen[cell] += weight
        surplus = placed[cell] - seen[cell, None] * goal
        parts[group] = np.argmin(weight @ surplus + ties[group])
        placed[cell, parts[group]] += weight
    return order, parts


def missing_classes(films: pd.DataFrame, parts: pd.Series, *, count: int) -> list[tuple[str, int]]:
    """Pairs of a class of `films` and a part, of `count`, that has no film of it."""
    present = set(zip(films["label"], films["group"].map(parts), strict=True))
    return [
        (label, part) for label in sorted(set(films["label"])) for part in range(count) if (label, part) not in present
    ]


def _strata(films: pd.DataFrame) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """Groups by name; of each the cells that it counts in (class and source, class, total) and its films in each."""
    stratum = films["label"].astype(str) + "\0" + films["source"].astype(object).where(films["source"].notna(), "\0")
    codes = [pd.factorize(column, sort=True)[0] for column in (stratum, films["label"].astype(str))]
    total = codes[0].max(initial=-1) + codes[1].max(initial=-1) + 2
    cells = np.stack([codes[0], codes[1] + codes[0].max(initial=-1) + 1, np.full(len(films), total)], axis=1)
    by_group = films["group"].groupby(films["group"], sort=True).indices
    counted = [np.unique(cells[rows], return_counts=True) for rows in by_group.values()]
    return (
        [str(name) for name in by_group],
        [cell for cell, _ in counted],
        [weight.astype(np.float64) for _, weight in counted],
    )


def _presence(films: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Whether a group has films of a class, bool [groups, classes]."""
    table = pd.crosstab(films["group"], films["label"])
    return table.reindex(names).to_numpy() > 0


def _complete(parts: np.ndarray, presence: np.ndarray, *, cost: np.ndarray, count: int) -> bool:
    """Move the cheapest group of a class, from where there are most, to each part that has none; in place.

    Returns:
        Whether every part has every class now.
    """
    held = np.stack([presence[parts == part].sum(axis=0) for part in range(count)], axis=1)
    for label, part in np.argwhere(held == 0):
        last = ((held[:, parts].T < 2) & presence).any(axis=1)
        movable = np.flatnonzero(presence[:, label] & ~last)
        if held[label, part] == 0 and len(movable):
            group = movable[np.lexsort((cost[movable], -held[label, parts[movable]]))[0]]
            held[presence[group], parts[group]] -= 1
            held[presence[group], part] += 1
            parts[group] = part
    return bool((held > 0).all())
