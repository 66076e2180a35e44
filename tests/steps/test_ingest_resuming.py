"""Ingestion that was killed, or stopped, and is run again."""

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from cxr.contracts.recipe import Preprocessing, Recipe
from cxr.contracts.studies import StudyIndex
from cxr.errors import ContractError
from cxr.steps.ingest import ingest
from cxr.steps.ingestion.film import Outcome, Refusal
from cxr.steps.ingestion.journal import open_journal
from support.films import chest, dicom, encoded
from support.ingestion import INGEST, Source, contents, fill, half_mask, lines_in, marked_half


def test_result_does_not_depend_on_the_number_of_workers(source: Source, tmp_path: Path) -> None:
    fill(source, 20)
    for workers in (1, 3):
        source.ingest(tmp_path / f"studies{workers}", workers=workers, pseudonym_key=b"k")
    assert contents(tmp_path / "studies1") == contents(tmp_path / "studies3")


def test_killed_at_any_point_and_run_again_gives_the_same(source: Source, tmp_path: Path) -> None:
    fill(source, 26)
    source.ingest(tmp_path / "whole", pseudonym_key=b"k")
    out, partial = tmp_path / "killed", tmp_path / ".killed.partial"
    points: list[Callable[[], bool]] = [
        lambda: partial.is_dir(),
        lambda: lines_in(partial) > random.Random(1).randrange(8),
        lambda: lines_in(partial) > 16,
        lambda: any((partial / "studies" / "images").glob("*")),
    ]
    for reached in points:
        process = subprocess.Popen([sys.executable, "-c", INGEST, str(source.folder), str(out)])
        while not reached() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not out.exists()
    source.ingest(out, workers=2, pseudonym_key=b"k")
    assert contents(out) == contents(tmp_path / "whole")
    assert not partial.exists()


def test_films_read_before_a_kill_are_not_read_again(source: Source, tmp_path: Path) -> None:
    fill(source, 12)
    whole = source.ingest(tmp_path / "whole", pseudonym_key=b"k")
    partial = tmp_path / ".again.partial"
    with pytest.raises(InterruptedError):
        _ingest_and_stop(source, tmp_path / "again")
    lines = (partial / "films.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == len(source.rows)
    (partial / "films.jsonl").write_bytes(b"".join(lines[:-2]) + lines[-2][:30])
    before = {path.name: path.stat().st_mtime_ns for path in (partial / "images").iterdir()}
    last = [msgspec.json.decode(line)["film"].get("image_id") for line in lines[-2:]]
    out = tmp_path / "again"
    report = source.ingest(out, pseudonym_key=b"k")
    after = {path.name: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {f"{image_id}.png" for image_id in last}
    assert report.kept == whole.kept
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("gone", [("pseudonym-key", "images/*.png"), ("masks",)])
def test_killed_while_the_work_is_removed_and_run_again_gives_the_same(
    source: Source, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    for number in (1, 2):
        film = dicom(chest(seed=number))
        source.add(f"{number}.dcm", film, label="Normal", mask=half_mask(source, "left"))
    with pytest.raises(InterruptedError):
        _ingest_and_stop_removing(source, tmp_path / "studies", gone)
    report = source.ingest(tmp_path / "studies")
    assert (report.patients, report.masked) == (1, 2), "one key for both films"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "studies"]


def test_killed_while_unusable_work_is_removed_and_run_again_on_a_mended_source(source: Source, tmp_path: Path) -> None:
    film = encoded(chest(seed=1))
    for label in ("Normal", "TB"):
        source.add(f"{label}.png", film, label=label, mask=half_mask(source, "left"))
    with pytest.raises(InterruptedError):
        _ingest_and_stop_removing(source, tmp_path / "studies", ("masks",))
    source.rows[0]["label"] = "TB"
    assert source.ingest(tmp_path / "studies").masked == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "studies"]


def test_what_is_left_of_removed_work_goes_before_the_next_run_reads(source: Source, tmp_path: Path) -> None:
    source.add("a.png", encoded(chest(seed=1)), label="Normal")
    with pytest.raises(InterruptedError):
        _ingest_and_stop_removing(source, tmp_path / "studies", ())
    with pytest.raises(InterruptedError):
        _ingest_and_stop(source, tmp_path / "studies")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".studies.partial", "source", "studies"]


def test_a_film_whose_mask_is_gone_is_read_again(source: Source, tmp_path: Path) -> None:
    source.add("a.png", encoded(chest(seed=1)), label="TB", mask=half_mask(source, "left"))
    with pytest.raises(InterruptedError):
        _ingest_and_stop(source, tmp_path / "studies")
    shutil.rmtree(tmp_path / ".studies.partial" / "masks")
    assert source.ingest(tmp_path / "studies", pseudonym_key=b"k").masked == 1
    assert marked_half(tmp_path / "studies") == "left"


def test_work_whose_removal_was_cut_off_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".studies.partial"
    with open_journal(folder, signature="old") as journal:
        journal.add(Outcome(identity="film", film=Refusal(code="corrupt", reason="cut off")))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", _interrupt)
        with pytest.raises(InterruptedError), open_journal(folder, signature="new"):
            pass
    with open_journal(folder, signature="old") as journal:
        assert "film" not in journal


def test_another_recipe_does_not_go_on_from_it(source: Source, tmp_path: Path) -> None:
    source.add("a.png", encoded(chest(300, 260, seed=1)), label="Normal")
    with pytest.raises(InterruptedError):
        _ingest_and_stop(source, tmp_path / "studies")
    other = Recipe(preprocessing=Preprocessing(size=64, stored_side=128))
    ingest(data=str(source.folder), out=tmp_path / "studies", recipe=other, workers=1)
    (path,) = (tmp_path / "studies" / "images").iterdir()
    assert min(np.asarray(Image.open(path)).shape) == 128


def test_a_changed_file_is_read_again(source: Source, tmp_path: Path) -> None:
    source.add("a.png", encoded(chest(seed=1)), label="Normal")
    with pytest.raises(InterruptedError):
        _ingest_and_stop(source, tmp_path / "studies")
    data = encoded(chest(seed=2))
    (source.folder / "a.png").write_bytes(data)
    source.ingest(tmp_path / "studies")
    assert StudyIndex.read(tmp_path / "studies").films.loc[0, "sha256"] == hashlib.sha256(data).hexdigest()


def test_two_ingestions_to_one_folder_are_refused(source: Source, tmp_path: Path) -> None:
    source.add("a.png", encoded(chest(seed=1)), label="Normal")
    with (
        open_journal(tmp_path / ".studies.partial", signature="x"),
        pytest.raises(ContractError, match="another one"),
    ):
        source.ingest(tmp_path / "studies")


def _ingest_and_stop(source: Source, out: Path) -> None:
    """Ingest and stop after reading, before the studies are in place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cxr.steps.ingest.replace_folder", _interrupt)
        source.ingest(out, pseudonym_key=b"k")


def _ingest_and_stop_removing(source: Source, out: Path, gone: Sequence[str]) -> None:
    """Ingest and stop while the work is removed: of each pattern in `gone` the first path is gone by then."""
    remove = shutil.rmtree

    def stop(path: str | Path, **options: Any) -> None:
        folder = Path(path)
        if not (folder / "pseudonym-key").is_file():
            return remove(path, **options)
        for found in [min(folder.glob(pattern)) for pattern in gone]:
            remove(found) if found.is_dir() else found.unlink()
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop)
        source.ingest(out)


def _interrupt(*_: Any, **__: Any) -> None:
    raise InterruptedError
