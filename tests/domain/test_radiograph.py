import dataclasses

import pytest

from cxr.domain import AgeGroup, Radiograph, Sex, View


@pytest.mark.parametrize(("age", "group"), [(0, "paediatric"), (17.99, "paediatric"), (18, "adult"), (90, "adult")])
def test_adults_are_eighteen(age, group):
    assert AgeGroup.of(age) == group


def test_vocabularies_are_those_of_dicom():
    assert {str(view) for view in View} == {"PA", "AP"}
    assert {str(sex) for sex in Sex} == {"F", "M", "O"}


def test_what_is_not_said_is_unknown_and_nothing_can_be_changed():
    film = Radiograph(image_id="a", sha256="b", width=10, height=20)
    assert {film.patient_id, film.study_id, film.label, film.source, film.view, film.sex, film.age} == {None}
    with pytest.raises(dataclasses.FrozenInstanceError):
        film.label = "Normal"
