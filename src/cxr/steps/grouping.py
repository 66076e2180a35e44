"""Which films are of one person, and what hangs together through any chain."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

Person = tuple[str, ...]


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


def person_key(*, patient_id: str | None, study_id: str | None, source: str | None) -> Person | None:
    """What films of one person have in common: the patient, or the study where the patient is unknown.

    Returns:
        None where neither is known. Numbers of studies are those of their source, patients those of the data set.
    """
    if patient_id is not None:
        return ("patient", patient_id)
    return None if study_id is None else ("study", source or "", study_id)


def connected(keys: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Number the sets of items that share a key, through any chain.

    Args:
        keys: for each kind of key, the key of every item; None is no key.

    Returns:
        For each item the position of the first item of its set, int64 [items].
    """
    sets = DisjointSets(range(len(keys[0])))
    for kind in keys:
        together: dict[Hashable, list[int]] = defaultdict(list)
        for item, key in enumerate(kind):
            if key is not None:
                together[key].append(item)
        for items in together.values():
            sets.join(items)
    return np.array([sets.root(item) for item in range(len(keys[0]))], dtype=np.int64)
