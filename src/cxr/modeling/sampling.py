"""A smaller set of films that keeps patients whole and classes in proportion."""

import numpy as np

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
