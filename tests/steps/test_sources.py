import contextlib
import logging
import os
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cxr.contracts.source import SourceFilm
from cxr.domain import TAXONOMY
from cxr.errors import SourceError
from cxr.steps.sources import open_source
from cxr.steps.sources.address import Bucket, KaggleDataset, Phantoms, parse_address


def write(folder: Path, *names: str) -> None:
    """Empty files: a source looks at names, not into films."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def labels(folder: Path, scratch: Path) -> dict[str, str | None]:
    return {film.name: film.label for film in open_source(str(folder), scratch=scratch, seed=1)}


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("phantom", Phantoms()),
            (" phantom:60 ", Phantoms(films=60)),
            ("phantom?side=128", Phantoms(side=128)),
            ("phantom:60?tie=0.9&seed=7&side=128", Phantoms(films=60, tie=0.9, seed=7, side=128)),
            ("kaggle:muhammadrehan00/chest-xray-dataset", KaggleDataset(handle="muhammadrehan00/chest-xray-dataset")),
            ("kaggle:a/b/versions/3", KaggleDataset(handle="a/b/versions/3")),
            ("s3://films", Bucket(bucket="films", prefix="")),
            ("s3://films/a/b/", Bucket(bucket="films", prefix="a/b")),
            ("s3://films/ä b?/#.csv", Bucket(bucket="films", prefix="ä b?/#.csv")),
            ("./phantom", Path("phantom")),
            ("films/index.csv", Path("films/index.csv")),
        ],
    )
    def test_reads_every_form(self, text: str, address: object) -> None:
        assert parse_address(text) == address

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("phantom:many", "films of phantoms must be a whole number, is 'many'"),
            ("phantom:9?tie=lots", "tie of phantoms must be a number"),
            ("phantom:9?sized=7", "did you mean side"),
            ("phantoms:9", "did you mean phantom:"),
            ("kagle:a/b", "did you mean kaggle:"),
            ("kaggle:chest-films", "kaggle:OWNER/DATASET"),
            ("kaggle:a/b/versions/0", "kaggle:OWNER/DATASET"),
            ("kaggle:../b?", "kaggle:OWNER/DATASET"),
            ("s3:films", "s3://BUCKET/PREFIX"),
            ("s3:///films", "s3://BUCKET/PREFIX"),
            ("gs://films/a", "gs:// cannot be read"),
            ("https://example.org/films.zip", "https:// cannot be read"),
        ],
    )
    def test_says_what_to_write_instead(self, text: str, message: str) -> None:
        with pytest.raises(SourceError, match=message):
            parse_address(text)

    @example("~0")
    @example("films:" + "n" * 300)
    @given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
    def test_any_text_is_an_address_or_a_source_error(self, text: str) -> None:
        with contextlib.suppress(SourceError):
            parse_address(text)


class TestPhantoms:
    def test_are_drawn_once(self, tmp_path: Path) -> None:
        films = open_source("phantom:6?side=64", scratch=tmp_path, seed=3)
        stamps = {film.path: film.path.stat().st_mtime_ns for film in films}
        assert len(films) == 6
        assert {film.label for film in films} <= set(TAXONOMY)
        assert all(film.patient_id and film.source and film.view for film in films)
        assert all(film.mask is None or film.mask.is_file() for film in films)
        assert open_source("phantom:6?side=64", scratch=tmp_path, seed=3) == films
        assert {film.path: film.path.stat().st_mtime_ns for film in films} == stamps

    def test_take_the_recipes_seed_unless_they_have_one(self, tmp_path: Path) -> None:
        def folder(data: str, seed: int) -> Path:
            return open_source(data, scratch=tmp_path, seed=seed)[0].path.parents[1]

        assert folder("phantom:3?side=64", 3) != folder("phantom:3?side=64", 4)
        assert folder("phantom:3?side=64&seed=3", 4) == folder("phantom:3?side=64", 3)

    def test_refuse_what_cannot_be_drawn(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="films"):
            open_source("phantom:0", scratch=tmp_path, seed=1)


class TestFolder:
    def test_labels_films_by_the_folder_above(self, tmp_path: Path) -> None:
        write(tmp_path / "in", "NORMAL/b.png", "NORMAL/a.dcm", "pneumonia/2024/c.png", "TB/d", "loose.png")
        assert labels(tmp_path / "in", tmp_path) == {
            "NORMAL/a.dcm": "NORMAL",
            "NORMAL/b.png": "NORMAL",
            "TB/d": "TB",
            "loose.png": None,
            "pneumonia/2024/c.png": "pneumonia",
        }

    def test_reads_the_layout_of_kaggle(self, tmp_path: Path) -> None:
        write(tmp_path / "in", "data/train/normal/a.png", "data/val/tuberculosis/b.png", "data/test/pneumonia/c.png")
        assert list(labels(tmp_path / "in", tmp_path).values()) == ["pneumonia", "normal", "tuberculosis"]

    def test_keeps_the_name_of_another_class_for_ingestion_to_refuse(self, tmp_path: Path) -> None:
        write(tmp_path / "in", "train/normal/a.png", "train/fracture/b.png", "train/c.png", "normal/test/d.png")
        assert labels(tmp_path / "in", tmp_path) == {
            "train/c.png": None,
            "train/fracture/b.png": "fracture",
            "train/normal/a.png": "normal",
            "normal/test/d.png": "normal",
        }

    def test_folders_that_are_no_classes_leave_films_unlabelled(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(tmp_path / "in", "P001/S1/I1", "P002/S1/I1")
        with caplog.at_level(logging.WARNING):
            assert labels(tmp_path / "in", tmp_path) == {"P001/S1/I1": None, "P002/S1/I1": None}
        assert "unlabelled" in caplog.text

    def test_passes_over_what_is_no_film(self, tmp_path: Path) -> None:
        write(
            tmp_path / "in",
            *("TB/a.png", "TB/.hidden.png", "TB/Thumbs.db", "DICOMDIR", "README.md", "labels.csv"),
            *("__MACOSX/TB/a.png", ".git/b.png", "TB/masks/a.png"),
        )
        assert list(labels(tmp_path / "in", tmp_path)) == ["TB/a.png"]

    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_an_index_wins_over_the_folders(self, tmp_path: Path, suffix: str) -> None:
        write(tmp_path / "in", "TB/a.png", "TB/b.png")
        frame = pd.DataFrame({"path": ["TB/a.png"], "label": ["Normal"]})
        frame.to_csv(tmp_path / "in/index.csv") if suffix == ".csv" else frame.to_parquet(tmp_path / "in/index.parquet")
        assert labels(tmp_path / "in", tmp_path) == {"TB/a.png": "Normal"}

    def test_two_indexes_are_one_too_many(self, tmp_path: Path) -> None:
        write(tmp_path / "in", "index.csv", "index.parquet", "a.png")
        with pytest.raises(SourceError, match=r"one index, has index.csv and index.parquet"):
            labels(tmp_path / "in", tmp_path)

    def test_a_folder_without_films(self, tmp_path: Path) -> None:
        write(tmp_path / "in", "README.md")
        with pytest.raises(SourceError, match="must hold films"):
            labels(tmp_path / "in", tmp_path)

    def test_follows_links_once(self, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere", "a.png")
        write(tmp_path / "in", "normal/b.png")
        (tmp_path / "in/tb").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "in/normal/up").symlink_to(tmp_path / "in")
        assert labels(tmp_path / "in", tmp_path) == {"normal/b.png": "normal", "tb/a.png": "tb"}

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_folder_that_may_not_be_read(self, tmp_path: Path) -> None:
        write(tmp_path / "in", "tb/a.png")
        (tmp_path / "in/tb").chmod(0)
        with pytest.raises(SourceError, match="must be readable"):
            labels(tmp_path / "in", tmp_path)
        (tmp_path / "in/tb").chmod(0o700)

    @settings(max_examples=50)
    @given(
        st.lists(
            st.lists(st.sampled_from(["train", "TB", "normal", "x", "ä b"]), min_size=1, max_size=4),
            min_size=1,
            max_size=8,
        )
    )
    def test_every_film_is_listed_once_in_order(self, folders: list[list[str]]) -> None:
        with tempfile.TemporaryDirectory() as name:
            names = sorted({"/".join([*parts, f"{number}.png"]) for number, parts in enumerate(folders)})
            write(Path(name), *names)
            films = open_source(name, scratch=Path(name), seed=1)
        assert [film.name for film in films] == names
        for film in films:
            above = [part for part in film.name.split("/")[:-1] if part in ("TB", "normal")]
            assert not above or film.label == above[-1]


class TestFile:
    def test_one_file_is_one_unlabelled_film(self, tmp_path: Path) -> None:
        write(tmp_path, "a.dcm")
        path = tmp_path / "a.dcm"
        assert open_source(str(path), scratch=tmp_path, seed=1) == [SourceFilm(path=path, name="a.dcm")]

    def test_the_home_folder_may_be_written_short(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path, "a.dcm")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert open_source("~/a.dcm", scratch=tmp_path, seed=1)[0].path == tmp_path / "a.dcm"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("films.zip", "unpacked"),
            ("none.png", "no such path can be read .No such file"),
            ("films.zip/a.png", "Not a directory"),
            ("n" * 300, "File name too long"),
        ],
    )
    def test_says_what_to_do(self, tmp_path: Path, name: str, message: str) -> None:
        write(tmp_path, "films.zip")
        with pytest.raises(SourceError, match=message):
            open_source(str(tmp_path / name), scratch=tmp_path, seed=1)


@pytest.mark.real
class TestRealFilms:
    def test_chest_films_come_with_what_their_index_says(self, real_data: Path, tmp_path: Path) -> None:
        films = open_source(str(real_data / "chest-xray/index.csv"), scratch=tmp_path, seed=1)
        assert len(films) == 4215
        assert {film.label for film in films} == set(TAXONOMY)
        assert len({film.source for film in films}) == 5
        assert all(film.path.is_file() and film.patient_id for film in films)
        assert {film.age_group for film in films} == {None, "adult", "pediatric"}

    def test_dicom_files_are_unlabelled(self, real_data: Path, tmp_path: Path) -> None:
        films = open_source(str(real_data / "dicom"), scratch=tmp_path, seed=1)
        assert len(films) == 12
        assert {film.label for film in films} == {None}
