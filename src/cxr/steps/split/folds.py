"""Leave one source out: does a model work where it was not trained?"""

import logging
from collections.abc import Sequence

import pandas as pd

from cxr.contracts.recipe import SplitRecipe
from cxr.contracts.split import Fold, Folds
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.steps.split.allocate import allocate
from cxr.steps.split.groups import connected, join_groups

logger = logging.getLogger(__name__)


def leave_one_source_out(index: StudyIndex, *, recipe: SplitRecipe, seed: int) -> Folds:
    """Withhold every source once, linked sources together, and divide the rest into training and validation by group.

    Args:
        index: whatever its present split.
        recipe: `validation` in proportion to `train` is the share of validation; `linked_sources` are withheld
            together.
        seed: of the division.

    Returns:
        One fold for each source or set of linked sources, by name; none when there are fewer than two.
    """
    films = index.films.assign(group=join_groups(index.films))
    films = films[films["label"].notna()]
    units = _units(sorted(films["source"].dropna().unique()), recipe.linked_sources)
    folds = [_fold(films, withheld, recipe=recipe, seed=seed) for withheld in units] if len(units) > 1 else []
    return Folds(seed=seed, index=index.digest, folds=tuple(folds))


def in_fold(index: StudyIndex, fold: Fold) -> StudyIndex:
    """The index with `split` as in the fold; what is unlabelled or excluded has none."""
    films = index.films
    split = pd.Series(str(Split.TRAIN), index=films.index, dtype="string")
    split[films["image_id"].isin(fold.validation)] = str(Split.VALIDATION)
    split[films["source"].isin(fold.withheld)] = str(Split.TEST)
    split[films["image_id"].isin(fold.excluded) | films["label"].isna()] = None
    return StudyIndex(films.assign(split=split))


def _units(sources: list[str], linked: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Sets of sources to withhold together; links join through any chain."""
    named = sorted({name for link in linked for name in link} - set(sources))
    if named:
        logger.info("linked sources that are not in the data: %s", ", ".join(named))
    links = [[number if name in link else None for name in sources] for number, link in enumerate(linked)]
    sets = connected([sources, *links])
    return [tuple(names) for _, names in pd.Series(sources, dtype=object).groupby(sets)]


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
