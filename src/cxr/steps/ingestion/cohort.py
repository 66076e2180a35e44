"""What was read, joined with what the source says, and judged: every file is kept, a duplicate or refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from cxr.contracts.source import SourceFilm
from cxr.contracts.studies import SCHEMA, StudyIndex
from cxr.domain import TAXONOMY, AgeGroup, Sex, View
from cxr.errors import RejectedFilm
from cxr.imaging.header import bounded_age, stated_sex, stated_view
from cxr.imaging.similarity import Thumbnails
from cxr.steps.ingestion.duplicates import Candidate, Verdict, judge
from cxr.steps.ingestion.film import Refusal, StoredFilm
from cxr.steps.ingestion.journal import Line

_AGE_GROUPS = {
    "paediatric": AgeGroup.PAEDIATRIC,
    "pediatric": AgeGroup.PAEDIATRIC,
    "child": AgeGroup.PAEDIATRIC,
    "adult": AgeGroup.ADULT,
}


@dataclass(frozen=True, kw_only=True)
class KnownFilm:
    """A readable film with what its source and its header say of it, in the words of the contract. None is unknown.

    Attributes:
        identity: of its job, which names its stored mask.
    """

    identity: str
    stored: StoredFilm
    label: str | None
    patient_id: str | None
    study_id: str | None
    source: str | None
    view: View | None
    sex: Sex | None
    age: float | None
    age_group: AgeGroup | None


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """All files of a source and what becomes of them, by their position in it.

    Attributes:
        names: as the source has them.
        known: readable films in the order of the source, duplicates and conflicting ones among them.
        refused: files that are no film, or no usable one.
        verdict: on the known films.
    """

    names: tuple[str, ...]
    known: dict[int, KnownFilm]
    refused: dict[int, Refusal]
    verdict: Verdict

    def kept(self) -> Iterator[KnownFilm]:
        """The films of the study index, in the order of the source."""
        for position in self.verdict.labels:
            yield self.known[position]

    def masks(self) -> dict[str, str]:
        """Of every kept film with a mask, image_id to the identity of the mask.

        The mask is the first in the order of the source among those of the film and of its exact copies, which show
        the same pixels.
        """
        kept = {film.stored.image_id for film in self.kept()}
        masks: dict[str, str] = {}
        for film in self.known.values():
            if film.stored.masked and film.stored.image_id in kept:
                masks.setdefault(film.stored.image_id, film.identity)
        return masks

    def index(self) -> StudyIndex:
        """The study index of the kept films."""
        rows = [
            (
                film.stored.image_id,
                film.patient_id,
                film.study_id,
                label,
                film.source,
                film.view,
                film.sex,
                film.age,
                film.age_group,
                self.verdict.groups[position],
                None,
                film.stored.width,
                film.stored.height,
                film.stored.sha256,
            )
            for position, label in self.verdict.labels.items()
            for film in (self.known[position],)
        ]
        return StudyIndex(pd.DataFrame(rows, columns=SCHEMA.names))


def gather(films: Sequence[SourceFilm], lines: Sequence[Line], thumbnails: Thumbnails) -> Cohort:
    """Judge every file of a source.

    Args:
        films: of the source.
        lines: what reading each of them gave.
        thumbnails: int8 [rows, SIDE, SIDE], to which the lines refer.
    """
    known: dict[int, KnownFilm] = {}
    refused: dict[int, Refusal] = {}
    for position, (film, line) in enumerate(zip(films, lines, strict=True)):
        outcome = _known(film, line)
        if isinstance(outcome, Refusal):
            refused[position] = outcome
        else:
            known[position] = outcome
    verdict = judge([_candidate(position, film, lines[position].row) for position, film in known.items()], thumbnails)
    for position, other in verdict.conflicts.items():
        reason = (
            f"the film shows the same exposure as {films[other].name}, which is labelled {known[other].label}; one of "
            "the labels is wrong: correct it"
        )
        refused[position] = Refusal(code="conflicting_label", reason=reason)
    names = tuple(film.name for film in films)
    return Cohort(names=names, known=known, refused=dict(sorted(refused.items())), verdict=verdict)


def _known(film: SourceFilm, line: Line) -> KnownFilm | Refusal:
    """The film, unless reading it or its source's words are a reason to refuse it."""
    stored = line.film
    if isinstance(stored, Refusal):
        return stored
    try:
        label = _finding(film.label)
        view = stated_view(film.view, field="the view in the index") if film.view else None
    except RejectedFilm as verdict:
        return Refusal(code=verdict.code, reason=verdict.reason)
    age = bounded_age(film.age) if film.age is not None else stored.age
    return KnownFilm(
        identity=line.identity,
        stored=stored,
        label=label,
        patient_id=film.patient_id or stored.patient_id,
        study_id=film.study_id or stored.study_id,
        source=film.source or None,
        view=view or stored.view,
        sex=(stated_sex(film.sex) if film.sex else None) or stored.sex,
        age=age,
        age_group=AgeGroup.of(age) if age is not None else _AGE_GROUPS.get((film.age_group or "").strip().lower()),
    )


def _finding(label: str | None) -> str | None:
    if not label:
        return None
    finding = TAXONOMY.canonical(label)
    if finding is None:
        known = ", ".join(TAXONOMY)
        raise RejectedFilm("unknown_label", f"the label must mean one of {known}, is {label!r}; rename or remove it")
    return finding


def _candidate(position: int, film: KnownFilm, row: int) -> Candidate:
    return Candidate(
        position=position,
        image_id=film.stored.image_id,
        label=film.label,
        patient_id=film.patient_id,
        study_id=film.study_id,
        source=film.source,
        area=film.stored.width * film.stored.height,
        hash=film.stored.hash,
        row=row,
    )
