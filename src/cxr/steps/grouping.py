"""Which films are of one person, and what hangs together through any chain."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

Named = tuple[str | None, str | None, str | None]
"""Patient, study and source of a film; None is unknown."""

Study = tuple[str, str]


class DisjointSets:
    """Disjoint sets of numbers (union-find with path halving); the root of a set is its least member."""

    def __init__(self, members: Iterable[int]) -> None:
        self._parent = {member: member for member in members}

    def join(self, members: Iterable[int]) -> None:
        """Make one set of the sets of these members."""
        roots = {self.root(member) for member in members}
        least = min(roots, default=0)
        for root in roots:
            self._parent[root] = least

    def join_by(self, keys: Iterable[Hashable], members: Iterable[int]) -> None:
        """Make one set of the sets of all members that have the same key; None is no key."""
        together: dict[Hashable, list[int]] = defaultdict(list)
        for key, member in zip(keys, members, strict=True):
            if key is not None:
                together[key].append(member)
        for alike in together.values():
            self.join(alike)

    def root(self, member: int) -> int:
        """The least member of the set of this one."""
        while self._parent[member] != member:
            self._parent[member] = self._parent[self._parent[member]]
            member = self._parent[member]
        return member

    def all(self) -> list[list[int]]:
        """The sets."""
        sets: dict[int, list[int]] = defaultdict(list)
        for member in self._parent:
            sets[self.root(member)].append(member)
        return list(sets.values())


def person_keys(films: Sequence[Named]) -> tuple[list[str | None], list[Study | None]]:
    """What films of one person have in common: the patient and, independently of it, the study.

    One film that names the patient of a study names that of its other films. A number that a source gives to studies of
    several patients ("1" for the first of each) is of no study in particular: it joins no film that names its patient.
    Those that name none it joins to each other, lest films of one study be parted.

    Args:
        films: all of a data set. Numbers of studies are those of their source, patients those of the data set.

    Returns:
        By film the patient, and the study; None is nothing to join by.
    """
    studies = [None if study is None else (source or "", study) for _, study, source in films]
    patients = [patient for patient, _, _ in films]
    known: dict[Study | None, set[str]] = defaultdict(set)
    for patient, study in zip(patients, studies, strict=True):
        if patient is not None:
            known[study].add(patient)
    joining = [
        study if patient is None or len(known[study]) == 1 else None
        for patient, study in zip(patients, studies, strict=True)
    ]
    return patients, joining


def connected(keys: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Number the sets of items that share a key, through any chain.

    Args:
        keys: for each kind of key, the key of every item; None is no key.

    Returns:
        For each item the position of the first item of its set, int64 [items].
    """
    items = range(len(keys[0]))
    sets = DisjointSets(items)
    for kind in keys:
        sets.join_by(kind, items)
    return np.array([sets.root(item) for item in items], dtype=np.int64)
