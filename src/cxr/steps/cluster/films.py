"""Films on the volume that a step shares with the pods that it starts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cxr.contracts.cluster import SharedFilms
from cxr.contracts.files import file_digest, write_bytes
from cxr.contracts.studies import IMAGES_FOLDER, INDEX_FILE, StudyIndex
from cxr.domain import Split
from cxr.errors import ClusterError, ContractError
from cxr.progress import progress

_FOLDER = "shared"
_COPIES = 16
_DIGITS = 24


def share_films(*, studies: Path, split: Path, weights: Path | None, scratch: Path, claim: Path) -> SharedFilms:
    """Put what a training reads on the claim: training and validation films, their index, initial weights.

    A film is named by its content and copied once, whatever split it is in; the index comes last and is named by its
    digest. So a copy that was killed goes on where it was, two at the same time do no harm, and no test film is shared.

    Args:
        studies: images.
        split: index.
        weights: file of initial weights, or None.
        scratch: folder on the claim where they are put.
        claim: where the claim is mounted here.

    Raises:
        ClusterError: `scratch` is not on the claim, or is full.
        ContractError: the index or an image is missing.
    """
    index = StudyIndex.read(split)
    shared = scratch / _FOLDER
    place = folder_on_claim(shared, claim)
    wanted = [name for part in (Split.TRAIN, Split.VALIDATION) for name in index.part(part).films["image_id"]]
    missing = [name for name in wanted if not (shared / IMAGES_FOLDER / f"{name}.png").exists()]
    indexed = f"split-{index.digest[:_DIGITS]}"
    try:
        _copy_films(studies, shared, missing)
        if not (shared / indexed / INDEX_FILE).exists():
            write_bytes(shared / indexed / INDEX_FILE, (split / INDEX_FILE).read_bytes())
        initial = "" if weights is None else _copy_weights(weights, shared)
    except OSError as error:
        raise ClusterError(f"the films must fit on the claim at {claim}, copying them fails: {error}") from error
    return SharedFilms(studies=place, split=f"{place}/{indexed}", weights=f"{place}/{initial}" if initial else "")


def folder_on_claim(folder: Path, claim: Path) -> str:
    """A folder as a path below the root of the claim; "" is the root.

    Raises:
        ClusterError: the folder is not on the claim.
    """
    try:
        path = folder.resolve().relative_to(claim.resolve()).as_posix()
    except ValueError as error:
        raise ClusterError(
            f"scratch must be {claim}, where the claim is mounted that all pods share, or a folder below it, is "
            f"{folder}; set --scratch, or mount in the cluster's settings"
        ) from error
    return "" if path == "." else path


def _copy_films(studies: Path, shared: Path, names: list[str]) -> None:
    def copy(name: str) -> None:
        source = studies / IMAGES_FOLDER / f"{name}.png"
        if not source.is_file():
            raise ContractError(f"{source} must be a readable PNG, is missing; run `cxr ingest` again")
        write_bytes(shared / IMAGES_FOLDER / source.name, source.read_bytes())

    with ThreadPoolExecutor(_COPIES) as pool, progress("share films", len(names)) as advance:
        for _ in pool.map(copy, names):
            advance(1)


def _copy_weights(weights: Path, shared: Path) -> str:
    """Name of the file of initial weights among the shared ones."""
    name = f"weights-{file_digest(weights)[:_DIGITS]}{weights.suffix}"
    target = shared / name
    if not target.exists():
        write_bytes(target, weights.read_bytes())
    return name
