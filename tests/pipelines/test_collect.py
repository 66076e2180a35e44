"""The folder of a run: stable names, no way to spoil the cache, and `last`."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from pipelines.collect import collect, mark_last


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Path]:
    studies, report = tmp_path / "cache" / "studies", tmp_path / "cache" / "report"
    names = ("report.html", "TECHNICAL_REPORT.md", "figures/roc.png", "metrics/m.json")
    for path in (studies / "images" / "a.png", studies / "ingest.json", *(report / name for name in names)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return {"studies": studies, "report": report}


def test_steps_have_folders_and_the_report_is_on_top(artifacts: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    collect(artifacts, run)
    found = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert found == {
        "studies/images/a.png", "studies/ingest.json",
        "report/report.html", "report/TECHNICAL_REPORT.md", "report/figures/roc.png", "report/metrics/m.json",
        "report.html", "TECHNICAL_REPORT.md",
    }  # fmt: skip
    assert {path.name for path in (run / "figures").iterdir()} == {"roc.png"}


def test_a_report_that_is_written_again_is_on_top_wherever_the_run_is_moved(
    artifacts: dict[str, Path], tmp_path: Path
) -> None:
    collect(artifacts, tmp_path / "a")
    run = (tmp_path / "a").rename(tmp_path / "b")
    shutil.rmtree(run / "report")
    (run / "report" / "figures").mkdir(parents=True)
    (run / "report" / "report.html").write_text("again")
    assert (run / "report.html").read_text() == "again"
    assert list((run / "figures").iterdir()) == []


def test_pictures_take_no_room_and_text_may_be_edited(artifacts: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    collect(artifacts, run)
    assert (run / "studies" / "images" / "a.png").samefile(artifacts["studies"] / "images" / "a.png")
    (run / "studies" / "ingest.json").write_text("edited")
    assert (artifacts["studies"] / "ingest.json").read_text() == "ingest.json"


def test_another_file_system_gets_copies(
    artifacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(os, "link", refuse)
    collect(artifacts, tmp_path / "a")
    assert (tmp_path / "a" / "studies" / "images" / "a.png").read_text() == "a.png"


def test_collecting_again_replaces(artifacts: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    collect(artifacts, run)
    (run / "studies" / "images" / "stale.png").touch()
    (run / "figures").unlink()
    (run / "figures").mkdir()
    (artifacts["report"] / "report.html").write_text("new")
    collect(artifacts, run)
    assert not (run / "studies" / "images" / "stale.png").exists()
    assert (run / "report.html").read_text() == "new"
    assert (run / "figures" / "roc.png").exists(), "a folder of an earlier version is in the way"


def test_last_is_the_latest_run_wherever_the_folder_is_moved(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("a", "b"):
        (runs / name).mkdir(parents=True)
        (runs / name / "name").write_text(name)
        mark_last(runs / name)
        assert (runs / "last" / "name").read_text() == name
    mark_last(runs / "last")
    runs.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "last" / "name").read_text() == "b"
    assert sorted(path.name for path in (tmp_path / "moved").iterdir()) == ["a", "b", "last"]


def test_a_folder_named_last_is_kept_when_a_run_becomes_the_last(tmp_path: Path) -> None:
    """Single steps write `runs/last` themselves where no run has been yet."""
    runs = tmp_path / "runs"
    for name in ("last", "a"):
        (runs / name / "studies").mkdir(parents=True)
        (runs / name / "studies" / "name").write_text(name)
    mark_last(runs / "a")
    assert (runs / "last").resolve() == runs / "a"
    (kept,) = (path for path in runs.iterdir() if path.name not in {"last", "a"})
    assert (kept / "studies" / "name").read_text() == "last"
