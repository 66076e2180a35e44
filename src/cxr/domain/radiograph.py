"""A radiograph and what is known of it."""

from dataclasses import dataclass
from enum import StrEnum


class View(StrEnum):
    """Projection of the beam, as in DICOM's View Position (0018,5101)."""

    PA = "PA"
    AP = "AP"


class Sex(StrEnum):
    """Patient's sex, as in DICOM (0010,0040)."""

    FEMALE = "F"
    MALE = "M"
    OTHER = "O"


class AgeGroup(StrEnum):
    """Paediatric is under 18 years."""

    PAEDIATRIC = "paediatric"
    ADULT = "adult"

    @classmethod
    def of(cls, age: float) -> "AgeGroup":
        """Group of an age in years."""
        return cls.PAEDIATRIC if age < 18 else cls.ADULT


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """One frontal chest film after ingestion. None means unknown, never absent.

    Attributes:
        image_id: SHA-256 of the stored PNG, its file name in `images/`.
        patient_id: pseudonym of the patient, unique within the data set.
        study_id: of films taken in one sitting, unique within the source.
        label: a finding of the taxonomy.
        source: hospital, scanner or data set that the film comes from.
        age: years.
        width, height: pixels of the original, before any reduction.
        sha256: digest of the original file.
    """

    image_id: str
    sha256: str
    width: int
    height: int
    patient_id: str | None = None
    study_id: str | None = None
    label: str | None = None
    source: str | None = None
    view: View | None = None
    sex: Sex | None = None
    age: float | None = None
    age_group: AgeGroup | None = None
