"""What a study index holds, by class, part, source and patient attribute, and what the source alone gives away."""

from dataclasses import dataclass

import pandas as pd

from cxr.domain import Split
from cxr.reporting.tables import Cell, Number, Table, count

UNKNOWN = "unknown"
ATTRIBUTES = {"source": "source", "view": "view", "sex": "sex", "age_group": "age group"}


def counts(films: pd.DataFrame, rows: str, columns: str, *, row_order: tuple[str, ...] = ()) -> pd.DataFrame:
    """Films per value of two attributes; unknown values come last under "unknown".

    Args:
        films: of a study index.
        rows: attribute of the index that runs down.
        columns: attribute of the index that runs across.
        row_order: values that come first among the rows, whether they occur or not.
    """
    table = pd.crosstab(films[rows].fillna(UNKNOWN), films[columns].fillna(UNKNOWN))
    table = table.reindex(index=_ordered(list(table.index), row_order))
    return table.reindex(columns=_ordered(list(table.columns), ())).fillna(0).astype(int)


def split_table(films: pd.DataFrame, findings: tuple[str, ...]) -> Table:
    """Films by class and part of the split, with patients."""
    names = tuple(str(split) for split in Split)
    table = counts(films, "label", "split", row_order=findings).reindex(columns=list(names), fill_value=0)
    rows: list[tuple[Cell, ...]] = [
        (str(label), *(count(int(n)) for n in row), count(int(row.sum()))) for label, row in table.iterrows()
    ]
    totals = table.sum()
    rows.append(("Films", *(count(int(n)) for n in totals), count(int(totals.sum()))))
    groups = films.groupby("split")["group_id"].nunique().reindex(list(names), fill_value=0)
    rows.append(("Patient groups", *(count(int(n)) for n in groups), count(int(films["group_id"].nunique()))))
    return Table(
        name="films-by-split",
        caption="Films by class and part",
        columns=("Class", *(name.capitalize() for name in names), "All"),
        rows=tuple(rows),
        note=(
            "A patient group joins the films of one patient, of one study unless its number is of several patients, "
            "and look-alikes; no group straddles two parts."
        ),
    )


def source_table(films: pd.DataFrame, findings: tuple[str, ...]) -> Table:
    """Films by source and class, with what a source that holds one class gives away."""
    table = counts(films, "source", "label").reindex(columns=list(findings), fill_value=0)
    rows: list[tuple[Cell, ...]] = []
    for source, row in table.iterrows():
        present = [finding for finding in findings if row[finding]]
        verdict = f"only {present[0]}" if len(present) == 1 else "all classes" if len(present) == len(findings) else ""
        missing = [finding for finding in findings if not row[finding]]
        rows.append(
            (
                str(source),
                *(count(int(n)) for n in row),
                count(int(row.sum())),
                verdict or f"no {' or '.join(missing)}",
            )
        )
    return Table(
        name="films-by-source",
        caption="Films by source and class",
        columns=("Source", *findings, "All", "Holds"),
        rows=tuple(rows),
    )


def training_source_table(training: pd.DataFrame, findings: tuple[str, ...]) -> Table:
    """Films and patient groups that each source gave for training, and which findings they have."""
    table = counts(training, "source", "label").reindex(columns=list(findings), fill_value=0)
    groups = training.assign(source=training["source"].fillna(UNKNOWN)).groupby("source")["group_id"].nunique()
    rows: list[tuple[Cell, ...]] = [
        (str(source), *(count(int(n)) for n in row), count(int(row.sum())), count(int(groups[str(source)])))
        for source, row in table.iterrows()
    ]
    return Table(
        name="training-sources",
        caption="Training films by source",
        columns=("Source", *findings, "All", "Patient groups"),
        rows=tuple(rows),
        note="A study index holds no licences: who trains must keep those of each source, and state them.",
    )


def attribute_table(films: pd.DataFrame, findings: tuple[str, ...]) -> Table:
    """Films by view, sex and age group for each class."""
    rows: list[tuple[Cell, ...]] = []
    for attribute, label in ATTRIBUTES.items():
        if attribute == "source":
            continue
        table = counts(films, attribute, "label").reindex(columns=list(findings), fill_value=0)
        for value, row in table.iterrows():
            rows.append((f"{label.capitalize()}: {value}", *(count(int(n)) for n in row), count(int(row.sum()))))
    return Table(
        name="films-by-attribute",
        caption="Films by view, sex and age",
        columns=("Attribute", *findings, "All"),
        rows=tuple(rows),
    )


@dataclass(frozen=True, kw_only=True)
class SourceGuess:
    """What naming the source of a film, without looking at it, says of its class.

    Attributes:
        films: test films with a label.
        right: of them, those whose class is the most frequent one of their source among the training films.
        most_frequent: of them, those of the most frequent class of all training films.
        named: whether the source of any film is known.
    """

    films: int
    right: int
    most_frequent: int
    named: bool

    @property
    def share(self) -> Number:
        """Share of films guessed rightly from the source."""
        return self._share(self.right)

    @property
    def baseline(self) -> Number:
        """Share of films guessed rightly from nothing."""
        return self._share(self.most_frequent)

    def _share(self, part: int) -> Number:
        if self.films == 0 or not self.named:
            reason = "no film names its source" if self.films else "no labelled test film"
            return Number(value=None, style="share", reason=reason)
        return Number(value=part / self.films, style="share")


def guess_from_source(films: pd.DataFrame) -> SourceGuess:
    """Guess the class of every test film from its source alone; an unknown source counts as one more source."""
    named = bool(films["source"].notna().any())
    known = films.dropna(subset=["label"]).assign(source=films["source"].fillna(UNKNOWN))
    training, test = known[known["split"] == Split.TRAIN], known[known["split"] == Split.TEST]
    if training.empty or test.empty:
        return SourceGuess(films=len(test), right=0, most_frequent=0, named=named)
    common = training["label"].mode().iloc[0]
    by_source = training.groupby("source")["label"].agg(lambda labels: labels.mode().iloc[0])
    guesses = test["source"].map(by_source).fillna(common)
    return SourceGuess(
        films=len(test),
        right=int((guesses == test["label"]).sum()),
        most_frequent=int((test["label"] == common).sum()),
        named=named,
    )


def _ordered(values: list[str], first: tuple[str, ...]) -> list[str]:
    rest = sorted(value for value in values if value not in first and value != UNKNOWN)
    return [*first, *rest, *([UNKNOWN] if UNKNOWN in values else [])]
