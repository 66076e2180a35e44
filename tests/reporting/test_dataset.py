from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr.contracts.ingest import IngestReport
from cxr.reporting.dataset import FilmPair, combination_table, render_dataset
from cxr.reporting.tables import Number
from support.films import chest
from support.pages import Page, external_addresses

COUNT = 40


@pytest.fixture(scope="module")
def films() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in range(COUNT)],
            "patient_id": [f"p{number // 2}" for number in range(COUNT)],
            "group_id": [f"g{number // 2}" for number in range(COUNT)],
            "label": rng.choice(["Normal", "Pneumonia", "Tuberculosis", None], COUNT),
            "source": rng.choice(["east", "<west>", None], COUNT),
            "view": rng.choice(["PA", "AP", None], COUNT),
            "sex": rng.choice(["F", "M", None], COUNT),
            "age": rng.choice([4.0, 50.0, 90.0, np.nan], COUNT),
            "age_group": rng.choice(["paediatric", "adult", None], COUNT),
            "split": None,
            "width": rng.integers(200, 3000, COUNT),
            "height": rng.integers(200, 3000, COUNT),
            "mean": rng.uniform(50, 200, COUNT),
            "spread": rng.uniform(10, 80, COUNT),
        }
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, films: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("images")
    film = chest(64, 64)
    for image_id in films["image_id"]:
        Image.fromarray(film).save(folder / f"{image_id}.png")
    return folder


def page_of(films: pd.DataFrame, images: Path, **changes: object) -> tuple[str, Page]:
    known = {
        "read": 60,
        "kept": COUNT,
        "rejected": {"corrupt": 9, "wrong_view": 4},
        "exact_duplicates": 5,
        "near_duplicates": 2,
        "look_alikes": 1,
        "polarity_corrected": 3,
        "masked": 0,
        "patients": 20,
        "groups": 20,
        "films": (),
        "index": "0123456789abcdef",
        "seconds": 1.0,
    }
    report = IngestReport(**{**known, **changes})  # type: ignore[arg-type]
    paths = [images / f"{image_id}.png" for image_id in films["image_id"][:2]]
    pairs = [FilmPair(kind=kind, first=paths[0], second=paths[1], correlation=0.93) for kind in ("near", "look-alike")]
    html = render_dataset(report=report, films=films, pairs=pairs, images=images)
    return html, Page(html)


@pytest.fixture(scope="module")
def rendered(films: pd.DataFrame, images: Path) -> tuple[str, Page]:
    return page_of(films, images)


def test_the_page_is_self_contained(rendered: tuple[str, Page]) -> None:
    html, page = rendered
    assert html.startswith("<!DOCTYPE html>")
    assert external_addresses(html) == []
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.attributes}
    assert len(page.ids) == len(set(page.ids))


def test_counts_are_those_of_the_report(rendered: tuple[str, Page]) -> None:
    _, page = rendered
    ingestion = {row[0]: row[1] for row in page.tables["ingestion"].rows}
    assert ingestion["Files read"] == "60"
    assert ingestion["Rejected"] == "13"
    assert ingestion["Films kept"] == str(COUNT)
    assert page.tables["rejected"].rows == [["corrupt", "9"], ["wrong view", "4"]]
    assert "has the same pixels: 5; because a kept one shows the same exposure: 2." in page.text


def test_films_are_counted_by_source_view_age_and_class(films: pd.DataFrame) -> None:
    table = combination_table(films)
    assert table.columns == ("Source", "View", "Age group", "Normal", "Pneumonia", "Tuberculosis", "unlabelled", "All")
    *rows, totals = table.rows
    assert isinstance(totals[-1], Number)
    assert totals[-1].value == COUNT
    filled = films.fillna({"label": "unlabelled", "source": "unknown", "view": "unknown", "age_group": "unknown"})
    for row in rows:
        source, view, age_group, *counts = row
        part = filled[(filled["source"] == source) & (filled["view"] == view) & (filled["age_group"] == age_group)]
        expected = [int((part["label"] == label).sum()) for label in table.columns[3:-1]]
        assert [cell.value for cell in counts if isinstance(cell, Number)] == [*expected, len(part)]
    assert len(rows) == len(filled.groupby(["source", "view", "age_group"]))


def test_every_class_has_a_sample_sheet(rendered: tuple[str, Page], films: pd.DataFrame) -> None:
    _, page = rendered
    shown = [attributes["alt"] for tag, attributes in page.attributes if tag == "img"]
    for label in ("Normal", "Pneumonia", "Tuberculosis", "unlabelled"):
        assert sum(f"Chest film, {label}," in alt for alt in shown) == min(12, _count(films, label))
    assert sum("of a near pair" in alt for alt in shown) == 2


def test_words_of_the_data_are_text_not_markup(rendered: tuple[str, Page]) -> None:
    html, page = rendered
    assert "<west>" not in html
    assert "<west>" in page.text


def test_the_same_data_give_the_same_page(films: pd.DataFrame, images: Path, rendered: tuple[str, Page]) -> None:
    assert page_of(films, images)[0] == rendered[0]


def test_a_data_set_of_which_nothing_is_known(films: pd.DataFrame, images: Path) -> None:
    bare = films.head(3).assign(
        **dict.fromkeys(("label", "source", "view", "sex", "age_group", "patient_id")),
        age=np.nan,
        width=224,
        height=224,
    )
    _, page = page_of(bare, images, kept=3, rejected={}, patients=0)
    assert "rejected" not in page.tables
    assert page.tables["films-by-combination"].rows[0] == ["unknown", "unknown", "unknown", "3", "3"]


def test_many_sources_share_the_figures(films: pd.DataFrame, images: Path) -> None:
    many = films.assign(source=[f"hospital {number % 20}" for number in range(COUNT)])
    assert page_of(many, images)[1].tables["films-by-combination"].rows


def _count(films: pd.DataFrame, label: str) -> int:
    return int((films["label"].fillna("unlabelled") == label).sum())
