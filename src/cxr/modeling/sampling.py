"""Which films are learnt: a smaller set that keeps patients whole, and how likely a step is to draw each film."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr.modeling.dataset import FilmArray


def draw_films(films: FilmArray, most: int, *, seed: int) -> FilmArray:
    """Draw at most `most` films, whole groups of them, each class in its share; all films when `most` is 0 or enough.

    A class whose share is smaller than its smallest group keeps that one group, so that none is lost.

    Args:
        films: labelled films; a group whose films have several labels counts as the class of most of them.
        most: number of films.
        seed: of the draw; the same seed draws the same films.
    """
    if most == 0 or most >= len(films):
        return films
    _, group = np.unique(films.index.films["group_id"].to_numpy(str), return_inverse=True)
    sizes = np.bincount(group)
    votes = np.zeros((len(sizes), films.labels.max() + 1), np.int64)
    np.add.at(votes, (group, films.labels), 1)
    classes = votes.argmax(axis=1)
    order = np.random.default_rng(seed).permutation(len(sizes))
    kept = np.zeros(len(sizes), bool)
    for label in np.unique(classes):
        candidates = order[classes[order] == label]
        share = int(most * sizes[candidates].sum() / len(films))
        room = share
        for candidate in candidates:
            if sizes[candidate] <= room:
                kept[candidate] = True
                room -= sizes[candidate]
        if room == share:
            kept[candidates[sizes[candidates].argmin()]] = True
    return films.take(kept[group])


_FEW = 100
"""Films; a source that has fewer of a class is drawn less often than others, in proportion."""


def balanced_chances(labels: npt.NDArray[np.int64], sources: Sequence[str]) -> npt.NDArray[np.float64]:
    """How likely each film is to be drawn, [n], so that classes are equal, and sources within a class.

    Args:
        labels: [n].
        sources: [n], by name.
    """
    names = np.unique(np.asarray(sources, dtype=str), return_inverse=True)[1]
    chances = np.zeros(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        counts = np.bincount(names[rows])
        share = 1 / np.maximum(counts, _FEW)[names[rows]]
        chances[rows] = share / share.sum()
    balanced: npt.NDArray[np.float64] = chances / chances.sum()
    return balanced
