"""What a data source hands to ingestion: one value per film, before anything is read from it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SourceFilm:
    """A file that should hold one radiograph, and what its source says of it. None means unknown, never absent.

    Nothing here has been checked against the file: it may be missing, no picture, or contradict its own header.
    What an index says wins over what a header says; a header fills in only what is None here.

    Attributes:
        path: file to read.
        name: to show to people and to list in `rejected.csv`: the path below the source, with `/`.
        label: as its source writes it ("TB", "NORMAL"); `Taxonomy.canonical` gives the finding.
        patient_id: pseudonym of the patient, unique within the data set.
        study_id: of films taken in one sitting, unique within the source.
        source: hospital, scanner or data set that the film comes from.
        view: projection as its source writes it; "PA" or "AP" where it keeps to DICOM's words.
        sex: as its source writes it; "F", "M" or "O" where it keeps to DICOM's words.
        age: years.
        age_group: as its source writes it ("adult", "pediatric").
        mask: picture of the lesion, non-zero inside, of the size of the film.
    """

    path: Path
    name: str
    label: str | None = None
    patient_id: str | None = None
    study_id: str | None = None
    source: str | None = None
    view: str | None = None
    sex: str | None = None
    age: float | None = None
    age_group: str | None = None
    mask: Path | None = None
