"""Fingerprints change exactly when what they stand for does."""

import os
from pathlib import Path

import pandas as pd
import pytest

import components
from pipelines.fingerprint import code_version, fingerprint


def touch(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_folder_stands_for_all_files_below_it(tmp_path: Path) -> None:
    film = touch(tmp_path / "TB" / "deep" / "a.png")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    touch(tmp_path / "TB" / "b.png")
    added = fingerprint(str(tmp_path))
    os.utime(film, ns=(0, 0))
    retouched = fingerprint(str(tmp_path))
    film.rename(film.with_name("c.png"))
    assert len({before, added, retouched, fingerprint(str(tmp_path))}) == 4


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_an_index_stands_for_itself_and_the_films_that_it_lists(tmp_path: Path, suffix: str) -> None:
    film = touch(tmp_path / "films" / "a.png")
    index = tmp_path / f"index{suffix}"
    table = pd.DataFrame({"path": ["films/a.png", "films/absent.png"], "label": ["TB", "TB"]})
    table.to_parquet(index) if suffix == ".parquet" else table.to_csv(index, index=False)
    before = fingerprint(str(index))
    touch(tmp_path / "films" / "not listed.png")
    assert fingerprint(str(index)) == before
    touch(film, "another")
    changed = fingerprint(str(index))
    touch(tmp_path / "films" / "absent.png")
    assert len({before, changed, fingerprint(str(index))}) == 3


@pytest.mark.parametrize("name", ["broken.csv", "broken.parquet", "film.png"])
def test_what_cannot_be_read_stands_for_itself(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe\x00 no table")
    before = fingerprint(str(path))
    path.write_bytes(b"\xff\xfe\x00 no table either")
    assert before != fingerprint(str(path)) != ""


@pytest.mark.parametrize("data", ["phantom:20", "s3://bucket/prefix", "kaggle:owner/set", "/no/such/folder"])
def test_what_is_no_path_here_has_no_fingerprint(data: str) -> None:
    assert fingerprint(data) == ""


def test_the_code_s_version_changes_with_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version()
    assert code_version() == before
    source = touch(tmp_path / "train.py", "a = 1")
    monkeypatch.setattr(components, "__path__", [str(tmp_path)])
    changed = code_version()
    touch(source, "a = 2")
    assert len({before, changed, code_version()}) == 3
    again = code_version()
    touch(tmp_path / "__pycache__" / "train.cpython-311.pyc")
    assert code_version() == again
