"""A folder of phantoms: what ingestion reads, the same from any number of workers."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.contracts.files import folder_digest
from cxr.domain import TAXONOMY, AgeGroup
from cxr.errors import SourceError
from cxr.imaging.phantom import SCANNERS, write_phantoms
from cxr.imaging.phantom.cohort import COLUMNS, plan_cohort

FILMS, SIDE = 90, 64


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(out=tmp_path_factory.mktemp("phantoms") / "cohort", films=FILMS, side=SIDE, workers=1)


@pytest.fixture(scope="module")
def rows(cohort: Path) -> list[dict[str, str]]:
    with (cohort / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_film_is_listed_once_and_nothing_else_is_there(cohort: Path, rows: list[dict[str, str]]) -> None:
    assert len(rows) == FILMS
    assert tuple(rows[0]) == COLUMNS
    listed = {row[column] for row in rows for column in ("path", "mask") if row[column]}
    assert listed == {path.relative_to(cohort).as_posix() for path in cohort.rglob("*.png")}


def test_films_are_grey_and_masks_black_and_white(cohort: Path, rows: list[dict[str, str]]) -> None:
    for row in rows:
        with Image.open(cohort / row["path"]) as film:
            assert (film.mode, film.size, film.format) == ("L", (SIDE, SIDE), "PNG")
        assert row["path"].startswith(f"{row['label']}/")
        assert (row["mask"] == "") == (row["label"] == "Normal")
        if row["mask"]:
            mask = _pixels(cohort / row["mask"])
            assert mask.shape == (SIDE, SIDE)
            assert set(np.unique(mask)) == {0, 255}


def test_a_patient_is_one_person_with_one_finding_and_one_scanner(rows: list[dict[str, str]]) -> None:
    patients = defaultdict(list)
    for row in rows:
        patients[row["patient_id"]].append(row)
    assert {len(films) for films in patients.values()} == {1, 2, 3}
    for films in patients.values():
        for column in ("label", "sex", "age", "source"):
            assert len({film[column] for film in films}) == 1


def test_views_sexes_ages_and_scanners_vary(rows: list[dict[str, str]]) -> None:
    assert {row["view"] for row in rows} == {"PA", "AP"}
    assert {row["sex"] for row in rows} == {"F", "M"}
    assert {AgeGroup.of(float(row["age"])) for row in rows} == set(AgeGroup)
    assert {row["source"] for row in rows} == {scanner.name for scanner in SCANNERS}


def test_films_of_one_patient_differ(cohort: Path, rows: list[dict[str, str]]) -> None:
    films = [_pixels(cohort / row["path"]).astype(int) for row in rows]
    patients = [row["patient_id"] for row in rows]
    pairs = [(a, b) for a in range(FILMS) for b in range(a) if patients[a] == patients[b]]
    assert min(np.abs(films[a] - films[b]).mean() for a, b in pairs) > 3


def test_films_of_different_patients_are_no_near_duplicates(cohort: Path, rows: list[dict[str, str]]) -> None:
    small = [Image.fromarray(_pixels(cohort / row["path"])).resize((32, 32), Image.Resampling.BOX) for row in rows]
    coarse = [image.resize((8, 8), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BICUBIC) for image in small]
    detail = np.stack([np.asarray(a, float) - np.asarray(b, float) for a, b in zip(small, coarse, strict=True)])
    correlation = np.corrcoef(detail.reshape(FILMS, -1))
    patients = np.array([row["patient_id"] for row in rows])
    assert correlation[patients[:, None] != patients].max() < 0.95


def test_the_same_bytes_from_any_number_of_workers(cohort: Path, tmp_path: Path) -> None:
    parallel = write_phantoms(out=tmp_path / "parallel", films=FILMS, side=SIDE, workers=2)
    assert folder_digest(parallel) == folder_digest(cohort)


def test_another_seed_gives_other_films_in_place_of_the_old(tmp_path: Path) -> None:
    out = write_phantoms(out=tmp_path / "films", films=4, side=SIDE)
    before = folder_digest(out)
    (out / "stray.txt").write_text("left over")
    assert write_phantoms(out=out, films=4, side=SIDE, seed=43) == out
    assert folder_digest(out) != before
    assert not (out / "stray.txt").exists()


@pytest.mark.parametrize("wrong", [{"films": 0}, {"side": 16}, {"scanner_tie": 1.5}, {"scanner_tie": -0.1}])
def test_an_argument_out_of_range_writes_nothing(tmp_path: Path, wrong: dict[str, float]) -> None:
    arguments = {"films": 3, "side": SIDE} | wrong
    name, value = next(iter(wrong.items()))
    with pytest.raises(SourceError, match=f"{name}={value}"):
        write_phantoms(out=tmp_path / "films", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_classes_are_about_balanced() -> None:
    plan = plan_cohort(films=1000, seed=42, scanner_tie=0)
    films = Counter[str]()
    for patient in plan:
        films[patient.finding] += patient.films
    assert films.total() == 1000
    assert {finding: round(count / 100) for finding, count in films.items()} == {
        "Normal": 4,
        "Pneumonia": 3,
        "Tuberculosis": 3,
    }


def test_a_tied_cohort_gives_each_class_its_own_scanner() -> None:
    scanners = {(p.finding, p.scanner) for p in plan_cohort(films=300, seed=1, scanner_tie=1)}
    assert scanners == {(finding, TAXONOMY.index(finding)) for finding in TAXONOMY}


def test_an_untied_cohort_tells_nothing_of_the_class_by_its_scanner() -> None:
    plan = plan_cohort(films=6000, seed=1, scanner_tie=0)
    for finding in TAXONOMY:
        counts = np.bincount([p.scanner for p in plan if p.finding == finding], minlength=len(SCANNERS))
        expected = counts.sum() / len(SCANNERS)
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < 18.5, "p = 0.001 at 4 degrees of freedom"


def test_a_half_tied_cohort_lies_between() -> None:
    plan = plan_cohort(films=6000, seed=1, scanner_tie=0.5)
    own = np.mean([p.scanner == TAXONOMY.index(p.finding) for p in plan])
    assert own == pytest.approx(0.5 + 0.5 / len(SCANNERS), abs=0.03)
