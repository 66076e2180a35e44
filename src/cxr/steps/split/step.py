"""The split step: `studies/` to `split/`."""

import logging
from pathlib import Path

import pandas as pd

from cxr.contracts.files import new_folder, write_json
from cxr.contracts.recipe import Recipe, SplitRecipe
from cxr.contracts.split import FOLDS_FILE, SPLIT_FILE, SplitCount, SplitReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.errors import SplitError
from cxr.steps.split.allocate import allocate, missing_classes
from cxr.steps.split.folds import leave_one_source_out
from cxr.steps.split.groups import check_separate, join_groups

logger = logging.getLogger(__name__)

_PARTS = tuple(Split)
_SKEW = 0.05


def split(*, studies: Path, out: Path, recipe: Recipe) -> SplitReport:
    """Divide films by patient into training, validation and test, balanced by class and source.

    Args:
        studies: folder with the index that ingestion wrote.
        out: folder to write, whole or not at all: `index.parquet`, `split.json`, `folds.json`.
        recipe: its `split` and `seed`.

    Raises:
        ContractError: `studies` has no valid index.
        SplitError: a class cannot be in every part, or films of one patient would be in two.
    """
    before = StudyIndex.read(studies)
    after = split_index(before, recipe=recipe.split, seed=recipe.seed)
    report = summarise(before, after, recipe=recipe.split, seed=recipe.seed)
    folds = leave_one_source_out(after, recipe=recipe.split, seed=recipe.seed)
    with new_folder(out) as draft:
        after.write(draft)
        write_json(draft / SPLIT_FILE, report)
        write_json(draft / FOLDS_FILE, folds)
    for caveat in report.caveats:
        logger.warning("%s", caveat)
    return report


def split_index(index: StudyIndex, *, recipe: SplitRecipe, seed: int) -> StudyIndex:
    """The index with `split` filled for every labelled film, and `group_id` joined over shared patients and studies.

    The result depends on the films, the recipe and the seed, and not on the order of the rows.

    Raises:
        SplitError: a class of the taxonomy has too few groups to be in every part, or the shares leave no test films.
    """
    shares = _shares(recipe)
    films = index.films.assign(group_id=join_groups(index.films))
    labelled = films.loc[films["label"].notna(), ["group_id", "label", "source"]].rename(columns={"group_id": "group"})
    _check_classes(labelled)
    parts = allocate(labelled, shares=shares, seed=seed)
    missing = missing_classes(labelled, parts, count=len(_PARTS))
    if missing:
        label, part = missing[0]
        raise SplitError(
            f"every part of the split must have films of every class, {_PARTS[part]} would have none of {label}: its "
            "patients also have films of other classes that are as rare; add films of other patients"
        )
    number = labelled["group"].map(parts)
    filled = pd.Series(pd.NA, index=films.index, dtype="string")
    filled[number.index] = number.map(dict(enumerate(map(str, _PARTS)))).astype("string")
    check_separate(films.assign(split=filled))
    return StudyIndex(films.assign(split=filled))


def _shares(recipe: SplitRecipe) -> tuple[float, float, float]:
    used = recipe.train + recipe.validation
    if used >= 1:
        raise SplitError(
            f"split.train + split.validation must be under 1 to leave test films, is {used:g}; lower one of them"
        )
    return recipe.train, recipe.validation, 1.0 - used


def _check_classes(labelled: pd.DataFrame) -> None:
    groups = labelled.groupby("label")["group"].nunique()
    for label in TAXONOMY:
        found = int(groups.get(label, 0))
        if found < len(_PARTS):
            raise SplitError(
                f"{label} must have films of at least {len(_PARTS)} patients, so that training, validation and test "
                f"each have some; has {found}; add films of other patients"
            )


def summarise(before: StudyIndex, after: StudyIndex, *, recipe: SplitRecipe, seed: int) -> SplitReport:
    """What is in each part of the index `after`, which was `before`, and what to know of it."""
    films = after.films[after.films["split"].notna()]
    sizes = films["group_id"].value_counts()
    return SplitReport(
        seed=seed,
        studies=before.digest,
        index=after.digest,
        films=len(films),
        unlabelled=len(after) - len(films),
        groups=len(sizes),
        largest_group=int(sizes.iloc[0]),
        rejoined=int(before.films["group_id"].nunique() - after.films["group_id"].nunique()),
        patient_unknown=int(films["patient_id"].isna().sum()),
        counts=_counts(films),
        caveats=tuple(_caveats(films, len(after) - len(films), recipe)),
    )


def _counts(films: pd.DataFrame) -> tuple[SplitCount, ...]:
    rows = films.groupby(["split", "label", "source"], dropna=False)["group_id"].agg(["size", "nunique"])
    counts = [
        SplitCount(
            split=Split(part),
            label=label,
            source=None if pd.isna(source) else source,
            films=int(size),
            groups=int(groups),
        )
        for (part, label, source), size, groups in zip(rows.index, rows["size"], rows["nunique"], strict=True)
    ]
    order = list(Split)
    return tuple(sorted(counts, key=lambda row: (order.index(row.split), TAXONOMY.index(row.label), row.source or "")))


def _caveats(films: pd.DataFrame, unlabelled: int, recipe: SplitRecipe) -> list[str]:
    caveats = []
    if unlabelled:
        caveats.append(f"{unlabelled:,} films have no label and are in no part of the split.")
    unknown = int(films["patient_id"].isna().sum())
    if unknown:
        caveats.append(
            f"{unknown:,} of {len(films):,} films name no patient: two films of one patient may be in two parts unless "
            "they look alike or share a study of their own."
        )
    numbered = films.groupby("patient_id")["source"].nunique()
    if shared := int((numbered > 1).sum()):
        caveats.append(
            f"{shared:,} values of patient_id occur in more than one source and are taken for one patient each, whose "
            "films stay in one part and out of training where any of their sources is withheld. Where every hospital "
            "numbers its own patients, put the source before the number and ingest again."
        )
    sources = set(films["source"].dropna())
    for link in recipe.linked_sources:
        present = sorted(sources & set(link))
        if len(present) > 1:
            caveats.append(
                f"{' and '.join(present)} may share patients whom no identifier shows: only films that look alike are "
                "kept in one part. Leave-one-source-out withholds these sources together."
            )
    return caveats + _skews(films, recipe)


def _skews(films: pd.DataFrame, recipe: SplitRecipe) -> list[str]:
    """Classes whose films could not be divided as asked, since a group is never divided and no part goes without."""
    goal = dict(zip(_PARTS, _shares(recipe), strict=True))
    shares = pd.crosstab(films["label"], films["split"], normalize="index")
    return [
        f"{part} has {shares.loc[label, part]:.0%} of the {label} films instead of {goal[part]:.0%}: their patients "
        "are too few, or one of them has too many films."
        for label in shares.index
        for part in _PARTS
        if abs(float(shares.loc[label, part]) - goal[part]) > _SKEW
    ]
