import pandas as pd

from cxr.reporting.cohort import attribute_table, counts, guess_from_source, source_table, split_table
from cxr.reporting.tables import Number, Table

FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")


def values(table: Table) -> dict[str, list[float | None]]:
    return {str(row[0]): [cell.value for cell in row[1:] if isinstance(cell, Number)] for row in table.rows}


def test_counts_put_unknown_last_and_keep_every_film(films: pd.DataFrame):
    table = counts(films, "label", "sex", row_order=FINDINGS)
    assert list(table.index) == list(FINDINGS)
    assert list(table.columns) == ["F", "M", "unknown"]
    assert table.to_numpy().sum() == len(films)


def test_split_table_agrees_with_the_index(films: pd.DataFrame):
    rows = values(split_table(films, FINDINGS))
    for finding in FINDINGS:
        mine = films[films["label"] == finding]
        assert rows[finding] == [(mine["split"] == s).sum() for s in ("train", "validation", "test")] + [len(mine)]
    assert rows["Films"][-1] == len(films)
    assert rows["Patient groups"][-1] == films["group_id"].nunique()


def test_source_table_names_the_sources_that_hold_one_class(films: pd.DataFrame):
    verdicts = {str(row[0]): row[-1] for row in source_table(films, FINDINGS).rows}
    assert verdicts == {
        "belarus": "only Tuberculosis",
        "guangzhou": "no Tuberculosis",
        "montgomery": "no Pneumonia",
        "nih": "all classes",
        "open_covid": "no Tuberculosis",
    }


def test_attribute_table_counts_the_unknown_too(films: pd.DataFrame):
    rows = values(attribute_table(films, FINDINGS))
    assert rows["Sex: unknown"][-1] == films["sex"].isna().sum()
    assert rows["Age group: paediatric"][:3] == [60, 90, 0]


def test_guess_from_source_is_right_when_the_source_is_the_class():
    rows = [
        (source, label, part)
        for source, label in (("a", "Normal"), ("b", "Pneumonia"))
        for part in ("train", "train", "test")
    ]
    films = pd.DataFrame(rows, columns=["source", "label", "split"])
    guess = guess_from_source(films)
    assert (guess.films, guess.right, guess.most_frequent) == (2, 2, 1)
    assert (guess.share.value, guess.baseline.value) == (1.0, 0.5)


def test_guess_from_source_falls_back_to_the_most_frequent_class_for_a_new_source():
    rows = [("a", "Normal", "train"), ("a", "Normal", "train"), ("b", "Pneumonia", "train"), ("c", "Normal", "test")]
    assert guess_from_source(pd.DataFrame(rows, columns=["source", "label", "split"])).right == 1


def test_guess_without_test_films_is_undefined():
    guess = guess_from_source(pd.DataFrame([("a", "Normal", "train")], columns=["source", "label", "split"]))
    assert guess.share.value is None
    assert guess.share.reason == "no labelled test film"
