"""Whole or absent, also when the process is killed in the middle: the killing is real."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.files import (
    Contract,
    clear_removed,
    file_digest,
    folder_digest,
    new_folder,
    read_json,
    remove_folder,
    replace_folder,
    value_digest,
    write_bytes,
    write_json,
)
from cxr.errors import ContractError


class Point(Contract, frozen=True, kw_only=True):
    x: int
    y: float | None = None


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from cxr.contracts import files
target = Path(sys.argv[1])
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
"""


def run_and_die(body: str, target: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING + body, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_replace_what_was_there_and_leave_nothing_else(tmp_path):
    path = tmp_path / "new" / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "no bytes")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    run_and_die("os.fsync = die\nfiles.write_bytes(target, b'new' * 100000)", path)
    assert path.read_bytes() == b"old"


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "deep" / "out"
    for content in ("old", "new"):
        with new_folder(target) as folder:
            (folder / content).write_text(content)
            assert target.exists() == (content == "new")
        assert names(target) == [content]
    assert names(target.parent) == ["out"]


def test_a_failure_leaves_the_folder_as_it_was(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(FileNotFoundError), new_folder(target) as folder:
        (folder / "no such folder" / "half").touch()
    assert names(tmp_path) == []
    with new_folder(target) as folder:
        (folder / "whole").touch()
    with pytest.raises(FileNotFoundError), new_folder(target) as folder:
        (folder / "no such folder" / "half").touch()
    assert names(target) == ["whole"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("existing", [False, True])
def test_a_kill_leaves_the_folder_as_it_was(tmp_path, existing):
    target = tmp_path / "out"
    if existing:
        with new_folder(target) as folder:
            (folder / "old").touch()
    run_and_die("with files.new_folder(target) as folder: (folder / 'half').touch(); die()", target)
    assert target.exists() == existing
    if existing:
        assert names(target) == ["old"]
    with new_folder(target) as folder:
        (folder / "whole").touch()
    assert names(target) == ["whole"]


def test_a_folder_is_never_mixed_with_the_one_it_replaces(tmp_path):
    target, draft = tmp_path / "out", tmp_path / "draft"
    for folder, name in ((target, "old"), (draft, "new")):
        folder.mkdir()
        (folder / name).touch()
    replace_folder(draft, target)
    assert names(target) == ["new"]
    assert names(tmp_path) == ["out"]


def test_a_folder_is_removed_and_leaves_nothing(tmp_path):
    (tmp_path / "work" / "deep").mkdir(parents=True)
    remove_folder(tmp_path / "work")
    assert names(tmp_path) == []


@pytest.mark.parametrize("remove", [clear_removed, remove_folder])
def test_a_kill_while_a_folder_is_removed_leaves_nothing_under_its_name(tmp_path, remove):
    work = tmp_path / "work"
    work.mkdir()
    (work / "old").touch()
    run_and_die("files.shutil.rmtree = lambda path, **_: path.exists() and die()\nfiles.remove_folder(target)", work)
    assert not work.exists()
    assert len(names(tmp_path)) == 1, "the rest is beside it"
    work.mkdir()
    (work / "new").touch()
    remove(work)
    assert names(tmp_path) == (["work"] if remove is clear_removed else [])


@settings(max_examples=30)
@given(x=st.integers(-(2**63), 2**63 - 1), y=st.none() | st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_is_read(tmp_path_factory, x, y):
    path = tmp_path_factory.mktemp("json") / "point.json"
    write_json(path, Point(x=x, y=y))
    assert read_json(path, Point) == Point(x=x, y=y)
    assert json.loads(path.read_text()) == {"x": x, "y": y}


def test_an_invalid_value_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ContractError, match=r"refused to write an invalid Point: Expected `int`, got `str`"):
        write_json(tmp_path / "point.json", Point(x="1"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"x": 1, "z": 2}', "unknown field `z`"),
        (b'{"x": "1"}', "Expected `int`, got `str`"),
        (b"{}", "missing required field `x`"),
        (b'{"x": 1', "truncated"),
        (b'{"x": 1, "y": "\xff"}', "point.json must be a valid Point"),
        (b"", "truncated"),
    ],
)
def test_a_malformed_file_is_named_with_its_fault(tmp_path, content, message):
    path = tmp_path / "point.json"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=message) as error:
        read_json(path, Point)
    assert str(path) in str(error.value)


def test_a_missing_file_says_which_step_is_missing(tmp_path):
    with pytest.raises(ContractError, match="must exist: the step that writes it has not finished"):
        read_json(tmp_path / "point.json", Point)


def test_contracts_are_frozen():
    with pytest.raises(AttributeError):
        Point(x=1).x = 2


def test_digests_are_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"film")
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"film").hexdigest()
    assert value_digest(Point(x=1)) == hashlib.sha256(b'{"x":1,"y":null}').hexdigest()


def test_a_folder_digest_knows_names_contents_and_depth_and_nothing_else(tmp_path):
    def folder(name: str, files: dict[str, str]) -> str:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return folder_digest(tmp_path / name)

    first = folder("first", {"a": "1", "b/c": "2"})
    assert folder("same", {"b/c": "2", "a": "1"}) == first
    os.utime(tmp_path / "same" / "a", (0, 0))
    assert folder_digest(tmp_path / "same") == first
    others = [{"a": "2", "b/c": "1"}, {"a": "1", "c": "2"}, {"a": "1"}, {"a": "1", "b/c": "2", "d": ""}]
    assert len({first, *(folder(str(number), files) for number, files in enumerate(others))}) == 5


def test_a_contract_can_tell_its_schema():
    assert msgspec.json.schema(Point)["$defs"]["Point"]["required"] == ["x"]
