"""Files that only the service may read."""

import os
import stat
import uuid
from pathlib import Path

from cxr.contracts.files import sync_folder
from cxr.errors import ServingError

_OTHERS = stat.S_IRWXO
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` with mode 0600 from its first byte on, whole or not at all, even after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, data)
    try:
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def create_private(path: Path, data: bytes) -> bool:
    """Like `write_private`, but leaves a file that is already there as it is; whether it was written.

    Raises:
        ServingError: it is not there and cannot be made.
    """
    try:
        return not path.exists() and _linked(path, data)
    except OSError as error:
        raise ServingError(
            f"{path} must be there, or its folder one that can be written and has hard links: {error.strerror}; put "
            "the file there, or name another folder"
        ) from error


def read_secret(path: Path) -> bytes:
    """The bytes of a file that holds a secret.

    Raises:
        ServingError: the file cannot be read, or others than its owner and group can.
    """
    try:
        mode = path.stat().st_mode
        if mode & (_OTHERS | _WRITABLE):
            raise ServingError(
                f"{path} holds a secret and must be closed to others, has mode {stat.S_IMODE(mode):04o}; run "
                f"`chmod 600 {path}`, or mount the secret with defaultMode 0440"
            )
        return path.read_bytes()
    except OSError as error:
        raise ServingError(f"{path} must be a readable file: {error.strerror}") from error


def read_token(path: Path | None) -> str | None:
    """The text of a file that holds a token, None without a file; raises `ServingError` as `read_secret` does."""
    return None if path is None else read_secret(path).decode().strip()


def check_unwritable(path: Path) -> None:
    """Raise `ServingError` when others than the owner can change the file, `OSError` when there is none."""
    mode = path.stat().st_mode
    if mode & _WRITABLE:
        raise ServingError(
            f"{path} must not be writable by group or others, has mode {stat.S_IMODE(mode):04o}; run `chmod 600 {path}`"
        )


def _linked(path: Path, data: bytes) -> bool:
    """Of several that make the file at once one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, data)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folder(path.parent)
    return True


def _draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return draft
