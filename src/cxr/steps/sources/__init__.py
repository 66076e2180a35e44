"""Where films come from: one text, `--data`, for every kind of source.

| `--data` | films |
|---|---|
| `phantom`, `phantom:N`, `phantom:N?tie=0.9&seed=7&side=256` | drawn by this project, with their lesion masks |
| `FOLDER` | its `index.csv` or `index.parquet`; without one `<class>/<files>` at any depth, or unlabelled files |
| `FILE.csv`, `FILE.tsv`, `FILE.parquet` | one row per film, see `cxr.steps.sources.index_file` |
| `FILE` | one unlabelled film |
| `kaggle:OWNER/DATASET[/versions/N]` | downloaded with kagglehub into its own cache, then as a folder |
| `s3://BUCKET/PREFIX` | downloaded into the scratch folder, then as a folder, an index or one film |
"""

import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import cxr
from cxr.contracts.source import SourceFilm
from cxr.errors import SourceError
from cxr.steps.sources.address import Bucket, KaggleDataset, Phantoms, parse_address
from cxr.steps.sources.folder import read_folder
from cxr.steps.sources.index_file import INDEX_SUFFIXES, read_index

__all__ = ["open_source"]

logger = logging.getLogger(__name__)

_ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"}


def open_source(data: str, *, scratch: Path, seed: int) -> Sequence[SourceFilm]:
    """List the films that `data` names, drawing or downloading them first where it must.

    The order depends on the data alone: that of the rows of an index, else that of the names.

    Args:
        data: see the table of this module.
        scratch: folder for what is drawn or downloaded. What is there already is used again.
        seed: of phantoms that name no seed of their own.

    Raises:
        SourceError: the data cannot be read, or holds no film.
    """
    address = parse_address(data)
    match address:
        case Phantoms():
            films = read_folder(_draw(address, scratch=scratch, seed=seed))
        case KaggleDataset():
            from cxr.adapters.kaggle import download_dataset

            films = read_folder(download_dataset(address.handle), confined=True)
        case Bucket():
            from cxr.adapters.object_store import ObjectStore, ObjectStoreConfig
            from cxr.steps.sources.bucket import read_bucket

            store = ObjectStore(ObjectStoreConfig.from_environment(os.environ))
            films = read_bucket(address, store=store, scratch=scratch)
        case Path():
            films = _read_path(address, data)
    logger.info("%s: %d films", data, len(films))
    return films


def _draw(phantoms: Phantoms, *, scratch: Path, seed: int) -> Path:
    """Folder of the phantoms, drawn unless this version of cxr drew the same ones before."""
    from cxr.imaging.phantom import write_phantoms

    seed = seed if phantoms.seed is None else phantoms.seed
    folder = scratch / f"phantoms-{phantoms.films}-{seed}-{phantoms.side}-{phantoms.tie:g}-{cxr.__version__}"
    if folder.is_dir():
        return folder
    return write_phantoms(out=folder, films=phantoms.films, seed=seed, side=phantoms.side, scanner_tie=phantoms.tie)


def _read_path(path: Path, data: str) -> list[SourceFilm]:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"data must be a folder, an index (.csv, .tsv, .parquet), a film, phantom[:N], kaggle:OWNER/DATASET or "
            f"s3://BUCKET/PREFIX; {data!r} is none of them and no such path can be read "
            f"({getattr(error, 'strerror', None) or error})"
        ) from error
    if is_folder:
        return read_folder(path)
    if path.suffix.lower() in INDEX_SUFFIXES:
        return read_index(path)
    if path.suffix.lower() in _ARCHIVES:
        raise SourceError(f"{path} must be unpacked first: give the folder that holds its films")
    return [SourceFilm(path=path, name=path.name)]
