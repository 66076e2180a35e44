"""The ingest step: read, validate, de-identify, remove duplicates, write the studies."""

import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import cxr
from cxr.contracts.files import clear_removed, remove_folder, replace_folder, value_digest
from cxr.contracts.ingest import IngestReport
from cxr.contracts.recipe import Recipe
from cxr.contracts.source import SourceFilm
from cxr.contracts.studies import IMAGES_FOLDER, MASKS_FOLDER
from cxr.errors import SourceError
from cxr.progress import progress
from cxr.steps.ingestion.cohort import gather
from cxr.steps.ingestion.film import Job, Store, identity
from cxr.steps.ingestion.journal import Journal, open_journal
from cxr.steps.ingestion.output import write_studies
from cxr.steps.ingestion.workers import process_all
from cxr.steps.sources import open_source

logger = logging.getLogger(__name__)

_KEY_FILE, _KEY_BYTES = "pseudonym-key", 32


def ingest(
    *, data: str, out: Path, recipe: Recipe, workers: int | None = None, pseudonym_key: bytes | None = None
) -> IngestReport:
    """Write the studies folder: index, 8-bit films, lesion masks, `rejected.csv`, `duplicates.csv` and two reports.

    A bad file never stops the run: `rejected.csv` names it with its reason. That list and `duplicates.csv` hold file
    names as the source has them, for the operator to find the files; nothing else does. Of headers nothing leaves but
    view, sex, age (90 for all above 89) and pseudonyms. Patient and study identifiers of DICOM headers become keyed
    pseudonyms (HMAC-SHA256); those of an index are taken to be pseudonyms already and stay as they are. Names that
    are burnt into the pixels are not removed.

    Killed at any point and called again with the same arguments, it goes on where it was, to the same result: until
    it is done its work is in `.<out>.partial` beside `out`. That folder is used again whole or not at all.

    Args:
        data: see `cxr.steps.sources`.
        out: studies folder to write, whole or not at all.
        recipe: its preprocessing says how films are stored; its seed draws phantoms.
        workers: processes that read films; one per core when None. The result does not depend on it.
        pseudonym_key: secret of the pseudonyms, for another run to give the same ones. When None it is random and
            thrown away at the end, so that nobody can compute them again.

    Raises:
        SourceError: the data cannot be read, or no film of it can be used.
        ContractError: another process is ingesting to `out`.
    """
    started = time.monotonic()
    partial = out.with_name(f".{out.name}.partial")
    clear_removed(partial)
    films = open_source(data, scratch=partial / "source", seed=recipe.seed)
    secret = sha256(pseudonym_key).hexdigest() if pseudonym_key else "random"
    signature = f"{cxr.__version__} {value_digest(recipe.preprocessing)} {secret}"
    with open_journal(partial, signature=signature) as journal:
        key = pseudonym_key or _random_key(partial / _KEY_FILE)
        store = Store(
            images=partial / IMAGES_FOLDER, masks=partial / MASKS_FOLDER, preprocessing=recipe.preprocessing, key=key
        )
        identities = [identity(film.path, film.mask) for film in films]
        _read(films, identities, journal, store, workers=workers or os.cpu_count() or 1)
        cohort = gather(films, [journal[name] for name in identities], journal.thumbnails())
        try:
            report = write_studies(partial / "studies", cohort, store=partial, started=started)
        except SourceError:
            remove_folder(partial)
            raise
        replace_folder(partial / "studies", out)
        remove_folder(partial)
    logger.info("%d of %d files kept, %.0f s", report.kept, report.read, report.seconds)
    return report


def _random_key(path: Path) -> bytes:
    """The key of an interrupted run, or a new one that only its owner can read."""
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES))
        temporary.replace(path)
    return path.read_bytes()


def _read(
    films: Sequence[SourceFilm], identities: Sequence[str], journal: Journal, store: Store, *, workers: int
) -> None:
    """Read every file that the journal lacks, once, however often the source lists it."""
    jobs = {
        identity: Job(identity=identity, path=film.path, mask=film.mask)
        for film, identity in zip(films, identities, strict=True)
        if identity not in journal
    }
    faults: Counter[str] = Counter()
    with progress("reading films", len(identities)) as advance:
        advance(len(identities) - len(jobs))
        for outcome in process_all(list(jobs.values()), store, workers=workers):
            journal.add(outcome)
            advance(1)
            faults.update([fault] if (fault := getattr(outcome.film, "mask_error", None)) else [])
    for fault, count in faults.items():
        logger.warning("%d lesion masks left out: %s", count, fault)
