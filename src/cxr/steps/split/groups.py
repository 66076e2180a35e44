"""Films that must stay on one side of a split."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from cxr.errors import SplitError

_KEYS = ("group_id", "patient_id", "study_id", "source")


def join_groups(films: pd.DataFrame) -> pd.Series:
    """Group of each film: joined, through any chain, by group_id, by patient, and by study where there is no patient.

    Args:
        films: rows of a study index.

    Returns:
        The least `group_id` of all that are joined, one value per row.
    """
    known = {name: films[name].astype(object).where(films[name].notna(), None) for name in _KEYS}
    study = [
        (source, study) if patient is None and study is not None else None
        for patient, study, source in zip(known["patient_id"], known["study_id"], known["source"], strict=True)
    ]
    sets = connected([known["group_id"].tolist(), known["patient_id"].tolist(), study])
    return films["group_id"].groupby(sets).transform("min")


def connected(keys: Sequence[Sequence[object]]) -> np.ndarray:
    """Number the sets of items that share a key, through any chain.

    Args:
        keys: for each kind of key, the key of every item; None is no key.

    Returns:
        For each item the position of the first item of its set, int64 [items].
    """
    root = np.arange(len(keys[0]))

    def find(item: int) -> int:
        while root[item] != item:
            root[item] = root[root[item]]
            item = root[item]
        return item

    for kind in keys:
        first: dict[object, int] = {}
        for item, key in enumerate(kind):
            if key is not None:
                low, high = sorted((find(first.setdefault(key, item)), find(item)))
                root[high] = low
    return np.array([find(item) for item in range(len(root))], dtype=np.int64)


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
