"""A local copy of objects: downloaded in parallel, whole or not at all, and resumed after a kill."""

import fcntl
import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from cxr.adapters.object_store import ObjectStore, StoredObject
from cxr.contracts.files import write_bytes
from cxr.errors import SourceError
from cxr.progress import progress

_FILES = "files"
_PARTS = "parts"
_JOURNAL = "journal.jsonl"
_LOCK = "lock"


def mirror(store: ObjectStore, bucket: str, objects: Sequence[StoredObject], *, base: str, target: Path) -> Path:
    """Make a folder hold exactly these objects, under their keys below `base`.

    A file that is there with the size and tag of its object is kept. Another process that mirrors to the same `target`
    is waited for.

    Args:
        store: where the objects are.
        bucket: their bucket.
        objects: as listed.
        base: folder of the bucket that all keys are in; "" is the bucket itself.
        target: folder for the copy and its journal.

    Returns:
        The folder of the files, within `target`.

    Raises:
        SourceError: a key cannot be a file name, an object cannot be read, or the disk refuses.
    """
    names = {item.key: _file_name(item.key, base) for item in objects}
    files = target / _FILES
    try:
        files.mkdir(parents=True, exist_ok=True)
        with _locked(target / _LOCK):
            _prune(files, keep=set(names.values()))
            have = _journal(target / _JOURNAL, files, names)
            missing = [item for item in objects if have.get(item.key) != item]
            _download(store, bucket, missing, names=names, target=target)
    except OSError as error:
        raise SourceError(f"{target} must hold a copy of s3://{bucket}/{base}: {error}") from error
    return files


def _file_name(key: str, base: str) -> str:
    name = key[len(base) + 1 :] if base else key
    if "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise SourceError(
            f"the key of an object must be a plain path, {key!r} is none; rename it or name a deeper prefix"
        )
    return name


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prune(files: Path, *, keep: set[str]) -> None:
    """Remove what is no object any more, so that the copy is the same as a fresh one."""
    for path in sorted(files.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(files).as_posix() not in keep:
            path.unlink()


def _journal(path: Path, files: Path, names: dict[str, str]) -> dict[str, StoredObject]:
    """Objects whose files are there, by key; the journal is rewritten to hold these alone."""
    have: dict[str, StoredObject] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            item = StoredObject(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue  # torn by a kill
        name = names.get(item.key)
        if name is not None and (files / name).is_file() and (files / name).stat().st_size == item.size:
            have[item.key] = item
    write_bytes(path, "".join(_entry(item) for item in have.values()).encode())
    return have


def _entry(item: StoredObject) -> str:
    return json.dumps({"key": item.key, "size": item.size, "etag": item.etag}) + "\n"


def _download(
    store: ObjectStore, bucket: str, objects: Sequence[StoredObject], *, names: dict[str, str], target: Path
) -> None:
    parts = target / _PARTS
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()

    def fetch(item: StoredObject) -> StoredObject:
        part = parts / uuid.uuid4().hex
        found = store.fetch(bucket, item.key, part)
        path = target / _FILES / names[item.key]
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)
        return found

    with (
        (target / _JOURNAL).open("a", encoding="utf-8", buffering=1) as journal,
        progress(f"s3://{bucket}", len(objects)) as advance,
        ThreadPoolExecutor(store.connections) as pool,
    ):
        tasks = [pool.submit(fetch, item) for item in objects]
        try:
            for task in as_completed(tasks):
                journal.write(_entry(task.result()))
                advance(1)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
