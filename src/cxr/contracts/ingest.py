"""What ingestion says it did: `ingest.json`, beside `rejected.csv` and `duplicates.csv`."""

from typing import Literal

from cxr.contracts.files import Contract

INGEST_FILE = "ingest.json"
REJECTED_FILE = "rejected.csv"
DUPLICATES_FILE = "duplicates.csv"
DATASET_FILE = "dataset.html"


class FilmCount(Contract, frozen=True, kw_only=True):
    """Kept films of one class from one source; null is unlabelled or of unknown source."""

    label: str | None
    source: str | None
    films: int


class IngestReport(Contract, frozen=True, kw_only=True):
    """`ingest.json`: read = kept + all rejected + exact_duplicates + near_duplicates.

    Attributes:
        read: files that the source listed.
        kept: films in the study index.
        rejected: code of `cxr.errors.REJECTION_CODES` to number of files, codes that occur only.
        exact_duplicates: films left out because a kept one has the same pixels.
        near_duplicates: films left out because a kept one shows the same exposure.
        look_alikes: pairs of kept films so alike that they may be of one patient; both stay, in one group.
        polarity_corrected: kept films that were plainly negatives although nothing said so, and were inverted.
        masked: kept films with a lesion mask.
        patients: known ones of kept films.
        groups: sets of kept films that no split may separate.
        films: kept films by class and source.
        index: digest of the study index.
        seconds: wall time of this run; of a resumed one, since it was resumed.
    """

    version: Literal[1] = 1
    read: int
    kept: int
    rejected: dict[str, int]
    exact_duplicates: int
    near_duplicates: int
    look_alikes: int
    polarity_corrected: int
    masked: int
    patients: int
    groups: int
    films: tuple[FilmCount, ...]
    index: str
    seconds: float
