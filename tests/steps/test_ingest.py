import csv
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr.contracts.studies import StudyIndex
from cxr.errors import SourceError
from cxr.imaging.read import read_film
from cxr.steps.ingest import ingest
from cxr.steps.ingestion.film import Job, Outcome, Refusal, Store, StoredFilm
from cxr.steps.ingestion.workers import process_all
from support.films import PATIENT, SECRETS, chest, dicom, encoded
from support.ingestion import INGEST, RECIPE, Source, fill, half_mask, lines_in, marked_half


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class TestStudies:
    def test_stored_films_are_what_reading_and_preprocessing_give(self, source: Source, tmp_path: Path) -> None:
        films = {"a.png": encoded(chest(seed=1)), "b.dcm": dicom(chest(300, 260, seed=2).astype(np.uint16) * 9)}
        for name, data in films.items():
            source.add(name, data, label="Normal")
        report = source.ingest(tmp_path / "studies")
        index = StudyIndex.read(tmp_path / "studies").films
        assert report.read == report.kept == len(index) == 2
        for data in films.values():
            reading = read_film(data)
            row = index.set_index("sha256").loc[hashlib.sha256(data).hexdigest()]
            path = tmp_path / "studies" / "images" / f"{row['image_id']}.png"
            stored = np.asarray(Image.open(path))
            assert (row["height"], row["width"]) == reading.pixels.shape
            assert min(stored.shape) == RECIPE.preprocessing.stored_side
            assert stored.dtype == np.uint8
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row["image_id"]
            reduced = Image.fromarray(reading.pixels.astype(np.float32)).resize(
                stored.shape[::-1], Image.Resampling.BOX
            )
            assert np.corrcoef(np.asarray(reduced).ravel(), stored.ravel())[0, 1] > 0.999

    def test_words_of_the_index_and_of_the_header(self, source: Source, tmp_path: Path) -> None:
        header = {"PatientAge": "095Y", "PatientSex": "M", "ViewPosition": "AP"}
        source.add("header.dcm", dicom(chest(seed=1), **header), label="tb", patient_id=None)
        source.add(
            "index.dcm",
            dicom(chest(seed=2), **header),
            label="NORMAL",
            patient_id="p1",
            study_id="s1",
            view="PA",
            sex="female",
            age=7,
            source="ward",
        )
        source.add("group.png", encoded(chest(seed=3)), age_group="pediatric")
        source.ingest(tmp_path / "studies", pseudonym_key=b"k")
        index = StudyIndex.read(tmp_path / "studies").films
        by_age = index.set_index(index["age"].fillna(-1.0).astype(int))
        names = ["label", "patient_id", "study_id", "source", "view", "sex", "age_group"]
        assert by_age.loc[7, names].tolist() == ["Normal", "p1", "s1", "ward", "PA", "F", "paediatric"]
        assert by_age.loc[-1, names].isna().tolist() == [True] * 6 + [False]
        assert by_age.loc[-1, "age_group"] == "paediatric"
        old = by_age.loc[90, names]
        assert (old["label"], old["view"], old["sex"], old["age_group"]) == ("Tuberculosis", "AP", "M", "adult")
        assert len(old["patient_id"]) == len(old["study_id"]) == 32

    def test_bad_files_are_listed_and_never_stop_the_run(self, source: Source, tmp_path: Path) -> None:
        good = encoded(chest(seed=1))
        source.add("good.png", good, label="Normal")
        source.add("empty.png", b"", label="Normal")
        source.add("cut.png", encoded(chest(seed=2))[:3000], label="Normal")
        source.add("page.dcm", b"<html></html>", label="Normal")
        source.add("hand.dcm", dicom(chest(seed=3), BodyPartExamined="HAND"), label="Normal")
        source.add("fracture.png", encoded(chest(seed=4)), label="Fracture")
        source.add("side.png", encoded(chest(seed=5)), label="Normal", view="LATERAL")
        source.rows.append({"path": "absent.png", "label": "Normal"})
        report = source.ingest(tmp_path / "studies")
        expected = {
            "empty.png": "empty_file",
            "cut.png": "corrupt",
            "page.dcm": "not_an_image",
            "hand.dcm": "wrong_body_part",
            "fracture.png": "unknown_label",
            "side.png": "wrong_view",
            "absent.png": "unreadable",
        }
        rejected = table(tmp_path / "studies" / "rejected.csv")
        assert {row["name"]: row["code"] for row in rejected} == expected
        assert all(row["reason"] for row in rejected)
        assert (report.kept, sum(report.rejected.values())) == (1, 7)

    def test_masks_are_resized_without_new_values(self, source: Source, tmp_path: Path) -> None:
        mask = np.zeros((300, 260), np.uint8)
        mask[60:150, 40:130] = 1
        (source.folder / "mask.png").write_bytes(encoded(mask))
        (source.folder / "none.png").write_bytes(encoded(np.zeros_like(mask)))
        (source.folder / "bad.png").write_bytes(b"no picture")
        for number, name in enumerate(("mask.png", "none.png", "bad.png")):
            source.add(f"{number}.png", encoded(chest(300, 260, seed=number)), label="TB", mask=name)
        report = source.ingest(tmp_path / "studies")
        assert (report.kept, report.masked) == (3, 1)
        (path,) = (tmp_path / "studies" / "masks").iterdir()
        stored = np.asarray(Image.open(path))
        film = np.asarray(Image.open(tmp_path / "studies" / "images" / path.name))
        assert stored.shape == film.shape
        assert set(np.unique(stored)) == {0, 255}
        rows, columns = np.nonzero(stored)
        scale = stored.shape[0] / 300
        np.testing.assert_allclose([rows.min(), rows.max() + 1], np.array([60, 150]) * scale, atol=1)
        np.testing.assert_allclose([columns.min(), columns.max() + 1], np.array([40, 130]) * scale, atol=1)

    def test_a_mask_that_only_a_copy_has_is_kept(self, source: Source, tmp_path: Path) -> None:
        film = encoded(chest(seed=1))
        source.add("first.png", film, label="TB")
        source.add("again.png", film, label="TB", mask=half_mask(source, "left"))
        assert source.ingest(tmp_path / "studies").masked == 1
        assert marked_half(tmp_path / "studies") == "left"

    def test_of_two_masks_an_unreadable_one_gives_way(self, source: Source, tmp_path: Path) -> None:
        film = encoded(chest(seed=1))
        (source.folder / "bad.png").write_bytes(b"no picture")
        source.add("first.png", film, label="TB", mask="bad.png")
        source.add("again.png", film, label="TB", mask=half_mask(source, "right"))
        assert source.ingest(tmp_path / "studies").masked == 1
        assert marked_half(tmp_path / "studies") == "right"

    @pytest.mark.parametrize("step", [1, -1], ids=["first read first", "last read first"])
    def test_of_two_masks_the_first_in_the_source_is_kept(
        self, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        film = encoded(chest(seed=1))
        source.add("first.png", film, label="TB", mask=half_mask(source, "left"))
        source.add("again.png", film, label="TB", mask=half_mask(source, "right"))

        def in_order(jobs: Sequence[Job], store: Store, *, workers: int) -> Iterator[Outcome]:
            return process_all(jobs[::step], store, workers=workers)

        monkeypatch.setattr("cxr.steps.ingest.process_all", in_order)
        assert source.ingest(tmp_path / "studies").masked == 1
        assert marked_half(tmp_path / "studies") == "left"

    def test_nothing_of_a_header_is_in_any_file(self, source: Source, tmp_path: Path) -> None:
        source.add("a.dcm", dicom(chest(seed=1), PatientComments=PATIENT), label="Normal")
        source.add("b.dcm", dicom(chest(seed=2), Modality="CT"), label="Normal")
        source.ingest(tmp_path / "studies")
        whole = b"".join(path.read_bytes() for path in (tmp_path / "studies").rglob("*") if path.is_file())
        assert not [value for value in SECRETS.values() if value.encode() in whole]
        assert not [path for path in tmp_path.iterdir() if "partial" in path.name], "the key and all work are gone"

    def test_file_names_are_in_the_two_lists_only(self, source: Source, tmp_path: Path) -> None:
        source.add("DOE_JANE.png", encoded(chest(seed=1)), label="Normal")
        source.add("DOE_JANE_2.png", encoded(chest(seed=1)), label="Normal")
        source.add("DOE_JOHN.png", b"", label="Normal")
        source.ingest(tmp_path / "studies")
        telling = {
            path.name for path in (tmp_path / "studies").rglob("*") if path.is_file() and b"DOE" in path.read_bytes()
        }
        assert telling == {"rejected.csv", "duplicates.csv"}

    def test_pseudonyms_of_two_runs_have_nothing_in_common(self, source: Source, tmp_path: Path) -> None:
        source.add("a.dcm", dicom(chest(seed=1)), label="Normal")
        told = []
        for name in ("one", "two"):
            source.ingest(tmp_path / name)
            told.append(StudyIndex.read(tmp_path / name).films.loc[0, "patient_id"])
        assert len(set(told)) == 2
        assert all(told)

    def test_no_usable_film_is_an_error_that_says_why(self, source: Source, tmp_path: Path) -> None:
        source.add("a.png", b"nothing", label="Normal")
        with pytest.raises(SourceError, match=r"1 not_an_image.*a\.png: the file must be DICOM, PNG or JPEG"):
            source.ingest(tmp_path / "studies")
        assert [path.name for path in tmp_path.iterdir()] == ["source"]


class TestDuplicates:
    def duplicates(self, folder: Path) -> dict[str, tuple[str, str]]:
        return {row["dropped"]: (row["kept"], row["kind"]) for row in table(folder / "duplicates.csv")}

    def test_same_file_and_same_pixels(self, source: Source, tmp_path: Path) -> None:
        film = chest(seed=1)
        source.add("first.png", encoded(film), label=None)
        source.add("again.png", encoded(film), label="Normal")
        source.add("dicom.dcm", dicom(film), label="Normal")
        source.add("other.png", encoded(chest(seed=2)), label="TB")
        report = source.ingest(tmp_path / "studies")
        assert self.duplicates(tmp_path / "studies") == {
            "again.png": ("first.png", "exact"),
            "dicom.dcm": ("first.png", "exact"),
        }
        assert (report.kept, report.exact_duplicates) == (2, 2)
        labels = StudyIndex.read(tmp_path / "studies").films["label"]
        assert set(labels) == {"Normal", "Tuberculosis"}, "the label of a copy holds for the one that stays"

    def test_of_one_exposure_the_largest_stays(self, source: Source, tmp_path: Path) -> None:
        film = Image.fromarray(chest(400, 360, seed=1))
        source.add("small.jpg", encoded(np.asarray(film.resize((180, 200))), "JPEG"), label="Normal")
        source.add("large.png", encoded(np.asarray(film)), label="Normal")
        source.add("dark.png", encoded(np.asarray(film) // 2), label="Normal")
        report = source.ingest(tmp_path / "studies")
        assert self.duplicates(tmp_path / "studies") == {
            "small.jpg": ("large.png", "near"),
            "dark.png": ("large.png", "near"),
        }
        assert report.near_duplicates == 2

    @pytest.mark.parametrize("copy", ["exact", "near"])
    def test_one_exposure_with_two_findings_is_refused(self, source: Source, tmp_path: Path, copy: str) -> None:
        film = chest(200, 180, seed=1)
        source.add("a.png", encoded(film), label="Normal")
        source.add("b.png", encoded(film if copy == "exact" else film // 2 + 9), label="Pneumonia")
        source.add("c.png", encoded(chest(seed=2)), label="TB")
        source.ingest(tmp_path / "studies")
        rejected = table(tmp_path / "studies" / "rejected.csv")
        assert {row["name"]: row["code"] for row in rejected} == dict.fromkeys(("a.png", "b.png"), "conflicting_label")
        assert "b.png, which is labelled Pneumonia" in rejected[0]["reason"]
        assert StudyIndex.read(tmp_path / "studies").films["label"].tolist() == ["Tuberculosis"]

    def test_a_file_listed_twice_is_read_once(self, source: Source, tmp_path: Path) -> None:
        source.add("a.png", encoded(chest(seed=1)), label="Normal")
        source.rows.append(dict(source.rows[0]))
        assert source.ingest(tmp_path / "studies").exact_duplicates == 1

    def test_groups_join_patients_studies_and_copies(self, source: Source, tmp_path: Path) -> None:
        who: list[dict[str, str]] = [
            {"patient_id": "p1"},
            {"patient_id": "p1", "study_id": "s"},
            {"patient_id": "p2"},
            {"patient_id": "p3"},
            {"study_id": "s3"},
            {"study_id": "s3"},
            {"study_id": "s3", "source": "another hospital"},
            {},
            {},
            {"study_id": "s9"},
            {"patient_id": "p9", "study_id": "s9"},
        ]
        for number, known in enumerate(who):
            source.add(f"{number}.png", encoded(chest(200, 150 + number, seed=number)), label="Normal", **known)
        source.add("copy.png", encoded(chest(200, 152, seed=2)), label="Normal", patient_id="p3")
        report = source.ingest(tmp_path / "studies")
        index = StudyIndex.read(tmp_path / "studies").films.sort_values("width")
        groups = [sorted(part["width"] - 150) for _, part in index.groupby("group_id")]
        assert sorted(groups) == [[0, 1], [2, 3], [4, 5], [6], [7], [8], [9, 10]], (
            "copy.png says that p2 and p3 are one person, and a study that its films are of one"
        )
        assert report.groups == 7
        assert set(index["group_id"]) <= set(index["image_id"])


class TestWorkers:
    def test_a_film_that_ends_its_process_is_refused_alone(self, tmp_path: Path) -> None:
        store = Store(
            images=tmp_path / "images", masks=tmp_path / "masks", preprocessing=RECIPE.preprocessing, key=b"k"
        )
        for name in ("images", "masks"):
            (tmp_path / name).mkdir()
        jobs = []
        for number in range(20):
            path = tmp_path / f"{number}.png"
            path.write_bytes(encoded(chest(seed=number)))
            deadly = number in (3, 12)
            jobs.append(Job(identity=str(number), path=DeadlyPath(path) if deadly else path, mask=None))
        outcomes = {outcome.identity: outcome.film for outcome in process_all(jobs, store, workers=2)}
        assert set(outcomes) == {str(number) for number in range(20)}
        refused = {name: film.code for name, film in outcomes.items() if isinstance(film, Refusal)}
        assert refused == {"3": "unreadable", "12": "unreadable"}
        assert sum(isinstance(film, StoredFilm) for film in outcomes.values()) == 18

    def test_workers_end_with_a_killed_parent(self, source: Source, tmp_path: Path) -> None:
        fill(source, 60)
        pd.DataFrame(source.rows).to_csv(source.folder / "index.csv", index=False)
        process = subprocess.Popen([sys.executable, "-c", INGEST, str(source.folder), str(tmp_path / "out")])
        deadline = time.monotonic() + 30
        while not lines_in(tmp_path / ".out.partial") and time.monotonic() < deadline:
            time.sleep(0.01)
        children = _children(process.pid)
        assert children
        process.kill()
        process.wait()
        while any(map(_alive, children)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not [child for child in children if _alive(child)]

    def test_torch_is_not_imported(self, source: Source, tmp_path: Path) -> None:
        source.add("a.dcm", dicom(chest(seed=1)), label="Normal")
        pd.DataFrame(source.rows).to_csv(source.folder / "index.csv", index=False)
        check = "assert not {'torch', 'mlflow', 'sklearn'} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", INGEST + check, str(source.folder), str(tmp_path / "out")], check=True)


class DeadlyPath(type(Path())):  # type: ignore[misc]
    """A file whose reading ends the process, as a crash in a native decoder does."""

    def open(self, *args: Any, **options: Any) -> Any:
        os._exit(139)


def _children(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.real
def test_real_dicom_files_get_the_right_verdicts(real_data: Path, tmp_path: Path) -> None:
    report = ingest(data=str(real_data / "dicom"), out=tmp_path / "studies", recipe=RECIPE)
    rejected = {row["name"]: row["code"] for row in table(tmp_path / "studies" / "rejected.csv")}
    assert rejected == {
        "header_traps/test5.dcm": "wrong_modality",
        "header_traps/test6.dcm": "wrong_view",
        "no_pixels/0_ORIGINAL_no_pixels.dcm": "no_pixels",
        "not_chest/CT_small.dcm": "wrong_modality",
        "not_chest/NM_Kakadu44_SOTmarkerincons.dcm": "wrong_body_part",
        "not_dicom/test1.dcm": "not_an_image",
    }
    (duplicate,) = table(tmp_path / "studies" / "duplicates.csv")
    assert duplicate["dropped"] == "header_traps/Fake_MONOHR1.dcm"
    assert report.kept == 5
