"""What a header or an index says of a film, in the words of the contract, and whether it speaks of a frontal chest.

A field that says nothing (absent, empty, "UNKNOWN") is no reason to refuse. A field that says something must say a
projection radiograph, a chest and a frontal view: a word that is neither is refused like a wrong one, since a film
that was misfiled looks exactly like that.
"""

import re
from dataclasses import dataclass

from cxr.domain import Sex, View
from cxr.errors import RejectedFilm

PROJECTION_MODALITIES = frozenset({"CR", "DX", "RG", "DR"})
"""Computed and digital radiography, digitised film; DR is no term of DICOM but widely written for DX."""

OLDEST = 90.0
"""Ages over 89 years are stored as this one (HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C))."""

_SILENT = {"", "UNKNOWN", "UNK", "OTHER", "NONE", "NA", "N A", "NULL", "NAN", "UNSPECIFIED", "NOT SPECIFIED", "ANY"}
_BLANKED = re.compile(r"ANON[A-Z0 ]*")
_OTHER_MODALITIES = {
    "CT",
    "MR",
    "US",
    "MG",
    "NM",
    "PT",
    "XA",
    "RF",
    "PX",
    "IO",
    "OT",
    "SC",
    "ES",
    "SR",
    "SEG",
    "PR",
    "SM",
}
_PA = re.compile(r"\b(PA|POSTERO ?ANTERIOR|POSTERIOR (TO )?ANTERIOR)\b")
_AP = re.compile(r"\b(AP|ANTERO ?POSTERIOR|ANTERIOR (TO )?POSTERIOR)\b")
_FRONTAL = re.compile(r"\bFRONTAL\b")
_NOT_FRONTAL = re.compile(
    r"\b(LATERAL\w*|LAT|LL|RL|LLAT|RLAT|LLD|RLD|LLO|RLO|LAO|RAO|LPO|RPO|OBL|OBLIQUE\w*|DECUB\w*|LORDOTIC|PROFIL\w*)\b"
)
_LATERAL_IN_TEXT = re.compile(r"\b(LATERAL\w*|LAT|OBL|OBLIQUE\w*|DECUB\w*|LORDOTIC|PROFIL\w*)\b")
_POSITION = re.compile(r"\b(SUPINE|ERECT|UPRIGHT|STANDING|SITTING|PORTABLE|BEDSIDE|MOBILE|CHEST|THORAX)\b")
_CHEST = {"CHEST", "THORAX", "TORAX", "LUNG", "LUNGS", "CXR"}
_OTHER_PARTS = {
    *("ABDOMEN", "ABD", "PELVIS", "HIP", "SPINE", "CSPINE", "TSPINE", "LSPINE", "NECK", "HEAD", "SKULL", "SHOULDER"),
    *("CLAVICLE", "RIB", "RIBS", "STERNUM", "ARM", "HUMERUS", "ELBOW", "FOREARM", "WRIST", "HAND", "FINGER", "LEG"),
    *("FEMUR", "KNEE", "ANKLE", "FOOT", "TOE", "BREAST", "HEART", "EXTREMITY", "JAW"),
}
_PATIENT_POSITION = re.compile(r"(H|F|L|R|A|P)F(S|P|DR|DL)|(LF|RF)(P|S)")
_SEXES = {"F": Sex.FEMALE, "FEMALE": Sex.FEMALE, "M": Sex.MALE, "MALE": Sex.MALE, "O": Sex.OTHER}
_AGE = re.compile(r"0*(\d{1,3}(?:\.\d+)?)\s*([DWMY]?)")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that leaves a header. None is unknown.

    Attributes:
        age: years, at most `OLDEST`.
        patient_id, study_id: keyed pseudonyms.
        modality: one of `PROJECTION_MODALITIES`.
    """

    view: View | None = None
    sex: Sex | None = None
    age: float | None = None
    patient_id: str | None = None
    study_id: str | None = None
    modality: str | None = None


def stated_view(text: str, *, field: str) -> View | None:
    """The projection that a field states, None when it states none.

    Args:
        text: value of a coded field, "PA", "AP supine", "antero-posterior".
        field: its name, for the error.

    Raises:
        RejectedFilm: `wrong_view`, when it states anything but a frontal projection.
    """
    words = _words(text)
    if words in _SILENT or not _POSITION.sub("", words).strip():
        return None
    wrong = _NOT_FRONTAL.search(words)
    if wrong or not (_PA.search(words) or _AP.search(words) or _FRONTAL.search(words)):
        value = wrong.group() if wrong else "a word that names no frontal projection"
        reason = f"{field} must be PA or AP where it is given, is {value}; give a frontal film, or correct the header"
        raise RejectedFilm("wrong_view", reason)
    return _frontal(words)


def view_in_text(text: str, *, field: str) -> View | None:
    """The projection that free text (a series description) names; silence and ambiguity are None.

    Raises:
        RejectedFilm: `wrong_view`, when it names a lateral, oblique, decubitus or lordotic film and no frontal one.
    """
    words = _words(text)
    wrong = _LATERAL_IN_TEXT.search(words)
    view = _frontal(words)
    if wrong and view is None and not _FRONTAL.search(words):
        raise RejectedFilm("wrong_view", f"{field} must not name another projection, says {wrong.group()}")
    return None if wrong else view


def view_in_position(text: str) -> View | None:
    """The projection in DICOM's Patient Position (0018,5100), where some exports write PA or AP.

    Raises:
        RejectedFilm: `wrong_view`, when it is neither that nor one of DICOM's positions (HFS, FFP, …).
    """
    if _PATIENT_POSITION.fullmatch(_words(text)):
        return None
    return stated_view(text, field="Patient Position")


def check_orientation(directions: str) -> None:
    """Check DICOM's Patient Orientation (0020,0020), rows first: a frontal image has no axis to the front.

    Raises:
        RejectedFilm: `wrong_view`.
    """
    axes = {part.strip()[:1].upper() for part in directions.split("\\")}
    if axes & {"A", "P"}:
        raise RejectedFilm(
            "wrong_view", "Patient Orientation must run left-right and head-foot; it is a lateral film's"
        )


def check_body_part(text: str) -> None:
    """Check a body part; raises `RejectedFilm` `wrong_body_part` unless it is the chest alone or not given."""
    words = _words(text)
    parts = set(words.split())
    wrong = sorted(parts & _OTHER_PARTS)
    if words in _SILENT or (parts & _CHEST and not wrong):
        return
    value = wrong[0] if wrong else "another part"
    raise RejectedFilm("wrong_body_part", f"the body part must be the chest where it is given, is {value}")


def stated_modality(text: str) -> str | None:
    """The modality, None when it is not given; raises `RejectedFilm` `wrong_modality` for all but radiography."""
    words = _words(text)
    if words in _SILENT - {"OTHER"}:
        return None
    if words not in PROJECTION_MODALITIES:
        value = words if words in _OTHER_MODALITIES else "another one"
        wanted = ", ".join(sorted(PROJECTION_MODALITIES))
        raise RejectedFilm("wrong_modality", f"the modality must be a projection radiograph's ({wanted}), is {value}")
    return words


def stated_sex(text: str) -> Sex | None:
    """F, M or O; None for anything else."""
    return _SEXES.get(_words(text))


def stated_age(text: str) -> float | None:
    """Years of an age written as DICOM does (081Y, 006M, 012W, 003D) or as a number; None for anything else.

    >>> stated_age("081Y"), stated_age("006M"), stated_age("62"), stated_age("104Y"), stated_age("?")
    (81.0, 0.5, 62.0, 90.0, None)
    """
    match = _AGE.fullmatch(text.strip().upper())
    return None if match is None else bounded_age(float(match.group(1)) * _YEARS[match.group(2)])


def bounded_age(years: float) -> float | None:
    """The age as it may be stored: at most `OLDEST`; None when no person can be of it."""
    return min(years, OLDEST) if 0 <= years <= 130 else None


def is_placeholder(identifier: str) -> bool:
    """Whether an identifier was blanked ("", "ANONYMIZED", "XXXX", "0"), so that equal ones say nothing.

    "ANON0017" was numbered, and tells its patient from others.
    """
    words = _words(identifier)
    return words in _SILENT or bool(_BLANKED.fullmatch(words)) or not words.strip("X0 ")


def _frontal(words: str) -> View | None:
    pa, ap = _PA.search(words), _AP.search(words)
    if bool(pa) == bool(ap):
        return None
    return View.PA if pa else View.AP


def _words(text: str) -> str:
    return " ".join(re.findall(r"[A-Z0-9]+", text.upper()))
