"""Films that must stay on one side of a split."""

from collections.abc import Iterable

import pandas as pd

from cxr.errors import SplitError
from cxr.steps.grouping import connected, person_keys

_NAMES = ("patient_id", "study_id", "source")


def join_groups(films: pd.DataFrame) -> pd.Series:
    """Group of each film: joined, through any chain, by group_id and by person (`cxr.steps.grouping.person_keys`).

    Args:
        films: rows of a study index.

    Returns:
        The least `group_id` of all that are joined, one value per row.
    """
    known = [films[name].astype(object).where(films[name].notna(), None) for name in _NAMES]
    sets = connected([films["group_id"].tolist(), *person_keys(list(zip(*known, strict=True)))])
    return films["group_id"].groupby(sets).transform("min")


def check_separate(films: pd.DataFrame, *, columns: Iterable[str] = ("patient_id", "group_id")) -> None:
    """Check that no patient and no group has films in two parts; raises `SplitError` otherwise."""
    for column in columns:
        parts = films.dropna(subset=[column, "split"]).groupby(column)["split"].nunique()
        straddling = int((parts > 1).sum())
        if straddling:
            raise SplitError(
                f"all films of one {column} must be in one part of the split, {straddling} of {len(parts)} are not; "
                "run `cxr split` again"
            )
