"""Which films say the same twice, which contradict each other, and which belong together.

* Films with the same stored pixels are one film (`exact`); the first in the order of the source stays.
* Films that correlate at `NEAR_DUPLICATE` or more show one exposure: rescanned, resized, recompressed, contrast
  stretched. Of those the one with the most original pixels stays, the first among equals.
* Where films of one exposure carry different findings, one of the labels is wrong and nothing here tells which:
  all of them are refused. A label that only some of them carry holds for the one that stays.
* Films that correlate at `LOOK_ALIKE` or more are two exposures, mostly of one patient: both stay, in one group.

A group joins, through any chain, films of one person (see `cxr.steps.grouping.person_keys`), look-alikes, and whatever
was joined to a copy that was left out: no split may separate them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cxr.imaging.similarity import LOOK_ALIKE, NEAR_DUPLICATE, Thumbnails, similar_pairs
from cxr.steps.grouping import DisjointSets, person_keys

Pair = tuple[int, int, float]
Kind = Literal["exact", "near"]
Neighbours = dict[int, dict[int, float]]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A readable film with all that is known of it.

    Attributes:
        position: in the order of the source.
        area: pixels of the original.
        row: of its thumbnail.
    """

    position: int
    image_id: str
    label: str | None
    patient_id: str | None
    study_id: str | None
    source: str | None
    area: int
    hash: int
    row: int


@dataclass(frozen=True)
class Duplicate:
    """A film left out for another; positions in the order of the source."""

    kept: int
    kind: Kind
    correlation: float
    dropped: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of the candidates.

    Attributes:
        labels: position of every kept film to its label, in the order of the source.
        duplicates: by dropped position.
        conflicts: position of a refused film to that of one which shows the same exposure with another label.
        look_alikes: pairs of kept positions with their correlation, most alike first.
        groups: position of every kept film to the image_id that names its group.
    """

    labels: dict[int, str | None]
    duplicates: tuple[Duplicate, ...]
    conflicts: dict[int, int]
    look_alikes: tuple[Pair, ...]
    groups: dict[int, str]


def judge(films: Sequence[Candidate], thumbnails: Thumbnails) -> Verdict:
    """Judge all candidates of a data set.

    Args:
        films: in the order of the source.
        thumbnails: int8 [rows, SIDE, SIDE].
    """
    copies = _copies(films)
    firsts = [same[0] for same in copies.values()]
    near, alike = _compare(firsts, thumbnails)
    sets = DisjointSets(film.position for film in films)
    for same in copies.values():
        sets.join(film.position for film in same)
    for one, others in near.items():
        sets.join((one, *others))
    outcome = _Outcome()
    by_position = {film.position: film for film in films}
    for positions in sets.all():
        _judge_exposure([by_position[position] for position in positions], near, outcome)

    kept = dict(sorted(outcome.labels.items()))
    _join_persons(films, sets)
    for one, other, _ in alike:
        sets.join((one, other))
    return Verdict(
        labels=kept,
        duplicates=tuple(sorted(outcome.duplicates, key=lambda duplicate: duplicate.dropped)),
        conflicts=dict(sorted(outcome.conflicts.items())),
        look_alikes=tuple(pair for pair in alike if pair[0] in kept and pair[1] in kept),
        groups=_group_names(sets, {position: by_position[position].image_id for position in kept}),
    )


@dataclass(frozen=True)
class _Outcome:
    labels: dict[int, str | None] = field(default_factory=dict)
    duplicates: list[Duplicate] = field(default_factory=list)
    conflicts: dict[int, int] = field(default_factory=dict)


def _copies(films: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    copies: dict[str, list[Candidate]] = defaultdict(list)
    for film in films:
        copies[film.image_id].append(film)
    return copies


def _compare(films: Sequence[Candidate], thumbnails: Thumbnails) -> tuple[Neighbours, tuple[Pair, ...]]:
    """Near duplicates by position, both ways, with their correlation; and look-alikes, most alike first."""
    rows = np.array([film.row for film in films], np.int64)
    pairs = similar_pairs(np.array([film.hash for film in films], np.uint64), thumbnails, rows=rows, least=LOOK_ALIKE)
    near: Neighbours = defaultdict(dict)
    alike: list[Pair] = []
    for i, j, correlation in zip(*(part.tolist() for part in pairs), strict=True):
        one, other = films[i].position, films[j].position
        if correlation >= NEAR_DUPLICATE:
            near[one][other] = near[other][one] = correlation
        else:
            alike.append((one, other, correlation))
    return near, tuple(sorted(alike, key=lambda pair: (-pair[2], pair[0], pair[1])))


def _judge_exposure(films: Sequence[Candidate], near: Neighbours, outcome: _Outcome) -> None:
    """Films of one exposure: keep the best of them, or refuse all where their labels differ."""
    labels = {film.label for film in films if film.label is not None}
    if len(labels) > 1:
        for film in films:
            outcome.conflicts[film.position] = min(
                other.position for other in films if other.label not in (None, film.label)
            )
        return
    kept: list[int] = []
    for first, *others in sorted(_copies(films).values(), key=lambda same: (-same[0].area, same[0].position)):
        alike = {position: near[first.position][position] for position in kept if position in near[first.position]}
        if not alike:
            kept.append(first.position)
            outcome.labels[first.position] = next(iter(labels), None)
            found: tuple[int, Kind, float] = (first.position, "exact", 1.0)
        else:
            best = max(alike, key=lambda position: alike[position])
            found = (best, "near", alike[best])
            outcome.duplicates.append(Duplicate(*found, dropped=first.position))
        outcome.duplicates.extend(Duplicate(*found, dropped=other.position) for other in others)


def _join_persons(films: Sequence[Candidate], sets: DisjointSets) -> None:
    positions = [film.position for film in films]
    for keys in person_keys([(film.patient_id, film.study_id, film.source) for film in films]):
        sets.join_by(keys, positions)


def _group_names(sets: DisjointSets, image_ids: dict[int, str]) -> dict[int, str]:
    """Name the group of every kept film by the least image_id in it."""
    names: dict[int, str] = {}
    for position, image_id in image_ids.items():
        root = sets.root(position)
        names[root] = min(image_id, names.get(root, image_id))
    return {position: names[sets.root(position)] for position in image_ids}
