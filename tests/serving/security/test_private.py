"""Files that only the service may read."""

import os
import threading
from pathlib import Path

import pytest

from cxr.errors import ServingError
from cxr.serving.security.private import check_unwritable, create_private, read_secret, read_token, write_private


@pytest.fixture(autouse=True)
def _open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_written_files_are_closed_to_others(tmp_path):
    path = tmp_path / "new" / "secret"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_a_file_that_was_open_to_others_is_closed_by_writing_it(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"one")
    path.chmod(0o666)
    write_private(path, b"two")
    assert path.stat().st_mode & 0o777 == 0o600


def test_creating_leaves_what_is_there(tmp_path):
    path = tmp_path / "secret"
    assert create_private(path, b"one")
    assert not create_private(path, b"two")
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_creating_asks_nothing_of_the_folder_of_a_file_that_is_there():
    assert not create_private(Path("/proc/version"), b"one")  # neither files nor links can be made there


@pytest.mark.parametrize("folder", ["/proc", "{tmp_path}/file", "{tmp_path}/file/below"])
def test_a_folder_that_takes_no_file_is_named(tmp_path, folder):
    (tmp_path / "file").touch()
    path = Path(folder.format(tmp_path=tmp_path)) / "secret"
    with pytest.raises(ServingError, match=f"{path} must be there, or its folder"):
        create_private(path, b"one")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(("given", "expected"), [(b"t0ken\n", "t0ken"), (None, None)])
def test_a_token_is_read_without_its_end_of_line(tmp_path, given, expected):
    if given is not None:
        write_private(tmp_path / "token", given)
    assert read_token(None if given is None else tmp_path / "token") == expected


def test_of_many_that_create_at_once_one_wins(tmp_path):
    path, won = tmp_path / "secret", []

    def create(number: int) -> None:
        if create_private(path, b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert path.read_bytes() == b"%d" % won[0]


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_a_secret_that_others_can_read_or_change_is_not_used(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_bytes(b"content")
    path.chmod(mode)
    with pytest.raises(ServingError, match="chmod 600") as raised:
        read_secret(path)
    assert "content" not in str(raised.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440])
def test_a_secret_of_owner_and_group_is_read(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_bytes(b"content")
    path.chmod(mode)
    assert read_secret(path) == b"content"


def test_a_missing_secret_is_named(tmp_path):
    with pytest.raises(ServingError, match="absent"):
        read_secret(tmp_path / "absent")


def test_a_file_may_be_readable_but_not_writable(tmp_path):
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o644)
    check_unwritable(path)
    path.chmod(0o664)
    with pytest.raises(ServingError, match="0664"):
        check_unwritable(path)
