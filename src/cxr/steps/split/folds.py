"""Leave one source out: does a model work where it was not trained?"""

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from cxr.contracts.recipe import SplitRecipe
from cxr.contracts.split import Fold, Folds
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.evaluation.unseen import FEWEST
from cxr.steps.grouping import connected
from cxr.steps.split.allocate import allocate
from cxr.steps.split.groups import join_groups

logger = logging.getLogger(__name__)

PARTNERS = 2
"""Sources, each in a fold of its own, that complete one which lacks a finding."""


def leave_one_source_out(index: StudyIndex, *, recipe: SplitRecipe, seed: int) -> Folds:
    """Withhold every source, linked sources together, and divide the rest into training and validation by group.

    A source that lacks a finding is withheld together with another one that has it, so that one network, which saw
    neither, judges all findings: what two networks say of two films cannot be compared. It is withheld with the two
    sources that complete it best, each in a fold of its own; alone where what is left would lack a finding.

    Args:
        index: whatever its present split.
        recipe: `validation` in proportion to `train` is the share of validation; `linked_sources` are withheld
            together.
        seed: of the division.

    Returns:
        By name; none when there are fewer than two sources or sets of linked ones.
    """
    films = _grouped(index)
    folds = [
        _fold(films, withheld, recipe=recipe, seed=seed) for withheld in _withholdings(films, recipe.linked_sources)
    ]
    return Folds(seed=seed, index=index.digest, folds=tuple(folds))


def withheld_together(index: StudyIndex, linked_sources: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Sources of each fold of `leave_one_source_out`."""
    return tuple(_withholdings(_grouped(index), linked_sources))


def in_fold(index: StudyIndex, fold: Fold) -> StudyIndex:
    """The index with `split` as in the fold; what is unlabelled or excluded has none."""
    films = index.films
    split = pd.Series(str(Split.TRAIN), index=films.index, dtype="string")
    split[films["image_id"].isin(fold.validation)] = str(Split.VALIDATION)
    split[films["source"].isin(fold.withheld)] = str(Split.TEST)
    split[films["image_id"].isin(fold.excluded) | films["label"].isna()] = None
    return StudyIndex(films.assign(split=split))


def _grouped(index: StudyIndex) -> pd.DataFrame:
    """The labelled films, with the `group` that may not be divided."""
    films = index.films.assign(group=join_groups(index.films))
    return films[films["label"].notna()]


def _units(sources: list[str], linked: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Sets of sources to withhold together; links join through any chain."""
    named = sorted({name for link in linked for name in link} - set(sources))
    if named:
        logger.info("linked sources that are not in the data: %s", ", ".join(named))
    links = [[number if name in link else None for name in sources] for number, link in enumerate(linked)]
    sets = connected([sources, *links])
    return [tuple(names) for _, names in pd.Series(sources, dtype=object).groupby(sets)]


def _withholdings(films: pd.DataFrame, linked_sources: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Sources that are withheld at once, by name; none where there are fewer than two sets of linked ones."""
    units = _units(sorted(films["source"].dropna().unique()), linked_sources)
    if len(units) < 2:
        return []
    held = {unit: _held(films[films["source"].isin(unit)]) for unit in units}
    every = set().union(*held.values())
    sets = set()
    for unit in units:
        lacking = every - held[unit].keys()
        partners = [
            other
            for other in units
            if other != unit
            and lacking & held[other].keys()
            and set().union(*(held[left] for left in units if left not in {unit, other})) == every
        ]
        # those that complete it, then those with the most groups of what it lacks
        ranked = sorted(partners, key=lambda other: (_completes(held[other], lacking), other), reverse=True)
        sets |= {tuple(sorted(unit + other)) for other in ranked[:PARTNERS]} or {unit}
    return sorted(sets)


def _held(films: pd.DataFrame) -> dict[str, int]:
    """Finding to its groups, of the findings that there is enough of."""
    groups = films.groupby("label")["group"].nunique()
    return {str(finding): int(number) for finding, number in groups.items() if number >= FEWEST}


def _completes(held: Mapping[str, int], lacking: set[str]) -> tuple[int, int]:
    found = lacking & held.keys()
    return len(found), sum(held[finding] for finding in found)


def _fold(films: pd.DataFrame, withheld: tuple[str, ...], *, recipe: SplitRecipe, seed: int) -> Fold:
    test = films["source"].isin(withheld)
    excluded = ~test & (films["source"].isna() | films["group"].isin(films["group"][test]))
    rest = films[~test & ~excluded]
    whole = recipe.train + recipe.validation
    parts = allocate(rest, shares=(recipe.train / whole, recipe.validation / whole), seed=seed)
    validation = rest["group"].map(parts) == 1
    return Fold(
        withheld=withheld,
        validation=tuple(rest["image_id"][validation]),
        excluded=tuple(films["image_id"][excluded]),
        train_films=int((~validation).sum()),
        test_films=int(test.sum()),
        train_findings=_findings(rest[~validation]),
        test_findings=_findings(films[test]),
    )


def _findings(films: pd.DataFrame) -> tuple[str, ...]:
    present = set(films["label"])
    return tuple(name for name in TAXONOMY if name in present)
