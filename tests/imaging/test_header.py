import hashlib
import hmac
import logging
import traceback
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from cxr.domain import Sex, View
from cxr.errors import RejectedFilm
from cxr.imaging import header
from cxr.imaging.read import read_film
from support.films import SECRETS, chest, dataset, dicom, saved

FILM = chest()


def verdict_on(**elements: Any) -> str | None:
    """The code with which a film of this header is refused, None when it is read."""
    try:
        read_film(dicom(FILM, **elements))
    except RejectedFilm as refusal:
        return refusal.code
    return None


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "DR", "dx", "", None])
def test_projection_radiography_is_read(modality: str | None) -> None:
    assert verdict_on(Modality=modality) is None


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "MG", "OT", "PX", "XA", "NM", "SOMETHING"])
def test_other_modalities_are_refused(modality: str) -> None:
    assert verdict_on(Modality=modality) == "wrong_modality"


@pytest.mark.parametrize("part", ["CHEST", "THORAX", "LUNG", "Chest", "PORT CHEST", "CHEST PA", "", "UNKNOWN", None])
def test_chests_are_read(part: str | None) -> None:
    assert verdict_on(BodyPartExamined=part) is None


@pytest.mark.parametrize(
    "part", ["HAND", "ABDOMEN", "CHEST ABDOMEN", "TSPINE", "THORACIC SPINE", "RIBS", "SKULL", "QQ"]
)
def test_other_body_parts_are_refused(part: str) -> None:
    assert verdict_on(BodyPartExamined=part) == "wrong_body_part"


@pytest.mark.parametrize(
    ("words", "view"),
    [
        ("PA", View.PA),
        ("AP", View.AP),
        ("AP Supine", View.AP),
        ("ap_portable", View.AP),
        ("Antero-posterior", View.AP),
        ("postero-anterior", View.PA),
        ("POSTERIOR ANTERIOR", View.PA),
        ("frontal", None),
        ("SUPINE", None),
        ("Portable", None),
        ("", None),
        ("unknown", None),
        ("N/A", None),
        ("nan", None),
    ],
)
def test_stated_views(words: str, view: View | None) -> None:
    assert header.stated_view(words, field="View Position") is view
    assert read_film(dicom(FILM, ViewPosition=words)).facts.view is view


@pytest.mark.parametrize(
    "words", ["LL", "RL", "LATERAL", "lat", "L", "LLO", "RAO", "AP LLD", "Oblique", "LORDOTIC", "XX"]
)
def test_other_views_are_refused(words: str) -> None:
    with pytest.raises(RejectedFilm, match="wrong_view"):
        header.stated_view(words, field="View Position")
    assert verdict_on(ViewPosition=words) == "wrong_view"


@pytest.mark.parametrize(
    ("words", "view"),
    [("view: PA", View.PA), ("AP PORTABLE", View.AP), ("PA AND LATERAL", None), ("Thorax", None), ("", None)],
)
def test_series_descriptions_that_name_a_view_or_none(words: str, view: View | None) -> None:
    assert read_film(dicom(FILM, ViewPosition=None, SeriesDescription=words)).facts.view is view


@pytest.mark.parametrize("words", ["W Thorax lat.", "CHEST LATERAL", "left lateral decubitus", "Thorax Profil"])
def test_series_descriptions_of_other_views_are_refused(words: str) -> None:
    assert verdict_on(ViewPosition=None, SeriesDescription=words) == "wrong_view"


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("HFS", None),
        ("FFP", None),
        ("PA", View.PA),
        ("AP", View.AP),
        ("", None),
        ("XX", "wrong_view"),
        ("LL", "wrong_view"),
    ],
)
def test_patient_position(position: str, expected: View | str | None) -> None:
    elements = {"ViewPosition": None, "PatientPosition": position}
    if isinstance(expected, str) and not isinstance(expected, View):
        assert verdict_on(**elements) == expected
    else:
        assert read_film(dicom(FILM, **elements)).facts.view is expected


@pytest.mark.parametrize(
    ("directions", "code"),
    [(["L", "F"], None), (["R", "F"], None), ("", None), (["A", "F"], "wrong_view"), (["PR", "F"], "wrong_view")],
)
def test_patient_orientation(directions: list[str], code: str | None) -> None:
    assert verdict_on(PatientOrientation=directions) == code


@pytest.mark.parametrize(
    ("sequence", "meaning", "expected"),
    [
        ("ViewCodeSequence", "antero-posterior", View.AP),
        ("ViewCodeSequence", "left lateral", "wrong_view"),
        ("AnatomicRegionSequence", "Chest", None),
        ("AnatomicRegionSequence", "Hand", "wrong_body_part"),
    ],
)
def test_code_sequences(sequence: str, meaning: str, expected: View | str | None) -> None:
    item = Dataset()
    item.CodeMeaning = meaning
    data = dataset(FILM, ViewPosition=None, BodyPartExamined=None)
    setattr(data, sequence, [item])
    if expected in ("wrong_view", "wrong_body_part"):
        with pytest.raises(RejectedFilm, match=str(expected)):
            read_film(saved(data))
    else:
        assert read_film(saved(data)).facts.view is expected


def test_facts_of_a_header() -> None:
    facts = read_film(dicom(FILM, PatientAge="006M", PatientSex="M", ViewPosition="AP"), key=b"k").facts
    assert (facts.view, facts.sex, facts.age, facts.modality) == (View.AP, Sex.MALE, 0.5, "CR")


@pytest.mark.parametrize(
    ("age", "years"), [("089Y", 89), ("090Y", 90), ("104Y", 90), ("62", 62), ("131Y", None), ("Y", None)]
)
def test_ages(age: str, years: float | None) -> None:
    assert read_film(dicom(FILM, PatientAge=age)).facts.age == years


@given(st.floats(allow_nan=False))
def test_no_age_over_90_is_told(years: float) -> None:
    age = header.bounded_age(years)
    assert age is None or 0 <= age <= 90


class TestDeidentification:
    def test_nothing_of_the_header_is_in_a_reading(self) -> None:
        shown = repr(read_film(dicom(FILM, PatientAge="097Y"), key=b"k").facts)
        assert not [value for value in SECRETS.values() if value in shown]
        assert "97" not in shown

    @pytest.mark.parametrize(
        "elements",
        [
            {"Modality": "DOE^JANE"},
            {"BodyPartExamined": "DOE^JANE"},
            {"ViewPosition": "DOE^JANE"},
            {"SeriesDescription": "lateral of DOE^JANE", "ViewPosition": None},
            {"Rows": None},
            {"PixelData": None},
            {"PixelData": b"short"},
            {"RescaleSlope": "DOE^JANE", "RescaleIntercept": "1"},
            {"WindowCenter": "DOE^JANE", "WindowWidth": "1"},
        ],
    )
    def test_nothing_of_the_header_is_in_a_refusal_or_a_log(
        self, elements: dict[str, Any], caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
    ) -> None:
        caplog.set_level(logging.DEBUG)
        numbers = {name: elements[name] for name in ("RescaleSlope", "WindowCenter") if name in elements}
        data = dicom(FILM, **{**elements, **dict.fromkeys(numbers, "12345678")})
        for value in numbers.values():
            data = data.replace(b"12345678", str(value).encode())
        with pytest.raises(RejectedFilm) as caught:
            read_film(data, key=b"k")
        told = [*traceback.format_exception(caught.value), caplog.text, *(str(warning.message) for warning in recwarn)]
        assert not [value for value in SECRETS.values() if value in "".join(told)]

    def test_identifiers_become_keyed_pseudonyms(self) -> None:
        facts = read_film(dicom(FILM), key=b"one").facts
        oracle = hmac.digest(b"one", b"patient\0" + SECRETS["PatientID"].encode(), hashlib.sha256).hex()
        assert facts.patient_id == oracle[:32]
        assert facts.study_id not in (None, facts.patient_id)
        assert read_film(dicom(FILM), key=b"one").facts == facts
        other = read_film(dicom(FILM), key=b"two").facts
        assert {other.patient_id, other.study_id}.isdisjoint({facts.patient_id, facts.study_id})

    def test_without_a_key_there_are_none(self) -> None:
        facts = read_film(dicom(FILM)).facts
        assert facts.patient_id is None
        assert facts.study_id is None

    @pytest.mark.parametrize("identifier", ["ANON000{}", "Anonymous {}", "anonymized-00{}"])
    def test_numbered_patients_are_told_from_each_other(self, identifier: str) -> None:
        one, two = (
            read_film(dicom(FILM, PatientID=identifier.format(number)), key=b"k").facts.patient_id for number in (1, 2)
        )
        assert None not in (one, two)
        assert one != two

    @pytest.mark.parametrize(
        "identifier", ["", "ANONYMIZED", "Anonymous", "ANON000", "ANON_0", "XXXX", "0000", "unknown"]
    )
    def test_blanked_identifiers_are_unknown(self, identifier: str) -> None:
        assert read_film(dicom(FILM, PatientID=identifier), key=b"k").facts.patient_id is None

    def test_equal_patient_and_study_identifiers_do_not_meet(self) -> None:
        facts = read_film(dicom(FILM, PatientID="1.2.3", StudyInstanceUID="1.2.3"), key=b"k").facts
        assert facts.patient_id != facts.study_id


def test_a_signed_film_is_read_whatever_its_range() -> None:
    stored = FILM.astype(np.int16) * 100 - 20000
    pixels = read_film(dicom(stored)).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, stored.astype(int) - stored.min())
