"""How a model does on the films of each source, view, sex and age group."""

from collections.abc import Iterator

import pandas as pd

from cxr.contracts.metrics import Estimate, Subgroup
from cxr.evaluation.arrays import Mask
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms

ATTRIBUTES = ("source", "view", "sex", "age_group")
UNKNOWN = "unknown"


def split_films(attributes: pd.DataFrame) -> Iterator[tuple[str, str, Mask]]:
    """Yield attribute, value and rows of every subgroup; a null value is "unknown".

    An attribute that is unknown for every film makes no subgroup.
    """
    for attribute in ATTRIBUTES:
        column = attributes[attribute]
        if column.isna().all():
            continue
        values = column.astype(object).where(column.notna(), UNKNOWN)
        for value in sorted(values.unique()):
            yield attribute, str(value), (values == value).to_numpy(dtype=bool)


def measure_subgroups(
    films: ScoredFilms, attributes: pd.DataFrame, *, resamples: int, seed: int
) -> tuple[Subgroup, ...]:
    """Accuracy, macro recall and AUROC, and the recall of each finding, of every subgroup.

    Patients are resampled within the subgroup.

    Args:
        films: all films.
        attributes: one row per film, in the same order, with the columns of `ATTRIBUTES`.
        resamples: for each interval.
        seed: of the resamples.
    """
    return tuple(
        Subgroup(
            attribute=attribute,
            value=value,
            films=int(rows.sum()),
            patients=films.patients_of(rows),
            metrics=_metrics(films.take(rows), resamples=resamples, seed=seed),
        )
        for attribute, value, rows in split_films(attributes)
    )


def _metrics(films: ScoredFilms, *, resamples: int, seed: int) -> dict[str, Estimate]:
    measures = BriefMeasures(films)
    values = bootstrap(measures, films.patients, resamples=resamples, seed=seed)
    shown = {name: (OVERALL, name) for name in ("accuracy", "macro_auroc", "macro_recall")}
    for number in films.present:
        finding = films.findings[number]
        shown[f"recall_{finding}"] = (finding, "recall")
    return {name: estimate(values[key], measures.bases[key]) for name, key in shown.items()}
