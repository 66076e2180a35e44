"""Films of an S3 bucket: a folder, an index with the films that it lists, or one film."""

import hashlib
from pathlib import Path, PurePosixPath

from cxr.adapters.mirror import mirror
from cxr.adapters.object_store import ObjectStore
from cxr.contracts.source import SourceFilm
from cxr.errors import SourceError
from cxr.steps.sources.address import Bucket
from cxr.steps.sources.folder import index_among, read_folder
from cxr.steps.sources.index_file import INDEX_SUFFIXES, list_rows, read_index


def read_bucket(address: Bucket, *, store: ObjectStore, scratch: Path) -> list[SourceFilm]:
    """List the films that an address names, after copying them to `scratch`.

    Where there is an index, what it does not list is left in the bucket.

    Raises:
        SourceError: the store cannot be reached or refuses, there is nothing at the address, or what is there holds no
            film.
    """
    single = store.find(address.bucket, address.prefix) if address.prefix else None
    is_index = single is not None and PurePosixPath(single.key).suffix.lower() in INDEX_SUFFIXES
    base = address.prefix if single is None else address.prefix.rpartition("/")[0]
    target = scratch / f"s3-{address.bucket}-{_digest(store.endpoint, address)}"
    if single is not None and not is_index:
        name = single.key.rpartition("/")[2]
        return [SourceFilm(path=mirror(store, address.bucket, [single], base=base, target=target) / name, name=name)]

    objects = store.objects(address.bucket, base)
    if not objects:
        raise SourceError(f"s3://{address.bucket}/{base} at {store.endpoint} must hold objects, holds none")
    below = {item.key[len(base) + 1 :] if base else item.key: item for item in objects}
    index = address.prefix.rpartition("/")[2] if is_index else index_among(below, f"s3://{address.bucket}/{base}")
    if index is None:
        return read_folder(mirror(store, address.bucket, objects, base=base, target=target), confined=True)
    copy = mirror(store, address.bucket, [below[index]], base=base, target=target.with_name(f"{target.name}-index"))
    wanted = {index, *_listed(copy / index)}
    objects = [item for name, item in below.items() if name in wanted]
    return read_index(mirror(store, address.bucket, objects, base=base, target=target) / index, confined=True)


def _listed(index: Path) -> set[str]:
    """Names of the films and masks of an index, relative to its folder."""
    films = list_rows(index, confined=True)
    paths = {film.path for film in films} | {film.mask for film in films if film.mask is not None}
    return {path.relative_to(index.parent).as_posix() for path in paths}


def _digest(endpoint: str, address: Bucket) -> str:
    return hashlib.sha256(f"{endpoint}/{address.bucket}/{address.prefix}".encode()).hexdigest()[:12]
