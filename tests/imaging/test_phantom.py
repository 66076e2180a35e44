"""One phantom: deterministic, shaped like a chest, with the truth about its lesions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.domain import TAXONOMY, Sex, View
from cxr.imaging.phantom import SCANNERS, draw_phantom
from cxr.imaging.phantom.anatomy import Chest, random_anatomy, random_positioning
from cxr.imaging.phantom.disease import HEALTHY, random_disease
from cxr.imaging.phantom.film import Patient, draw_film
from cxr.imaging.phantom.frame import Frame
from cxr.imaging.phantom.lungs import heart
from cxr.imaging.phantom.scanner import expose

DISEASES = ("Pneumonia", "Tuberculosis")


@given(seed=st.integers(0, 2**31), finding=st.sampled_from(tuple(TAXONOMY)), side=st.integers(64, 200))
@settings(max_examples=25)
def test_a_film_is_a_grey_square_whose_mask_tells_of_disease(seed: int, finding: str, side: int) -> None:
    phantom = draw_phantom(seed=seed, finding=finding, side=side)
    assert phantom.film.dtype == np.uint8
    assert phantom.film.shape == phantom.mask.shape == (side, side)
    assert phantom.film.std() > 20
    assert phantom.mask.any() == (finding != "Normal")
    assert phantom.mask.mean() < 0.6
    assert phantom.finding == finding


def test_the_seed_decides_everything() -> None:
    one, again, other = (draw_phantom(seed=seed, finding="Tuberculosis", side=96) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.film, again.film)
    np.testing.assert_array_equal(one.mask, again.mask)
    assert np.abs(one.film.astype(int) - other.film).mean() > 5


def test_an_unknown_finding_is_refused() -> None:
    with pytest.raises(ValueError, match="finding must be Normal, Pneumonia or Tuberculosis, is 'Fracture'"):
        draw_phantom(seed=1, finding="Fracture")


@pytest.mark.parametrize("finding", DISEASES)
def test_disease_changes_the_film_inside_its_mask_and_hardly_elsewhere(finding: str) -> None:
    inside, outside, darker = [], [], 0
    for seed in range(12):
        rng = np.random.default_rng([seed, 3])
        disease = replace(random_disease(rng, finding), shrinkage=(0.0, 0.0))
        anatomy = random_anatomy(rng, age=40, sex=Sex.MALE)
        sick, healthy = (
            draw_film(
                Patient(anatomy=anatomy, disease=each, finding=finding),
                SCANNERS[0],
                rng=np.random.default_rng(seed),
                side=128,
            )
            for each in (disease, HEALTHY)
        )
        change = sick.film.astype(float) - healthy.film
        inside.append(np.abs(change[sick.mask]).mean())
        outside.append(np.abs(change[~sick.mask]).mean())
        darker += change[sick.mask].mean() < 0
    assert np.median(inside) > 12
    assert np.median(outside) < 2
    assert darker == 0


def test_pneumonia_lies_low_and_tuberculosis_high() -> None:
    def heights(finding: str) -> list[float]:
        masks = (draw_phantom(seed=seed, finding=finding, side=96).mask for seed in range(24))
        return [float(np.nonzero(mask)[0].mean()) / 96 for mask in masks]

    assert np.median(heights("Pneumonia")) > np.median(heights("Tuberculosis")) + 0.15


def test_lungs_are_dark_beside_a_white_mediastinum_above_a_white_abdomen() -> None:
    films = np.stack([draw_phantom(seed=seed, finding="Normal", side=64).film for seed in range(40)]).astype(float)
    mean = films.mean(axis=0) / films.mean()
    right, left = mean[20:40, 14:22].mean(), mean[20:40, 42:50].mean()
    assert max(right, left) < 0.85 < 1.3 < mean[32:48, 30:34].mean()
    assert mean[58:62, 16:48].mean() > 1.2
    assert mean[:6, [0, 1, -2, -1]].mean() < 0.7, "air beside the neck is dark"
    assert mean[44:48, 36:42].mean() > mean[44:48, 22:26].mean(), "the heart's apex points to the patient's left"


def test_an_ap_film_magnifies_the_heart() -> None:
    rng = np.random.default_rng(1)
    anatomy = random_anatomy(rng, age=50, sex=Sex.FEMALE)
    standing = random_positioning(rng, view=View.PA, age=50)
    frame = Frame(side=96, unit=38, tall=38, centre=(48, 50))
    areas = {
        view: (heart(frame, Chest(anatomy, replace(standing, view=view))) > 0.1).sum() for view in (View.PA, View.AP)
    }
    assert areas[View.AP] > 1.15 * areas[View.PA]


def test_children_have_rounder_chests_and_wider_hearts() -> None:
    rng = np.random.default_rng(2)
    young, grown = ([random_anatomy(rng, age=age, sex=Sex.MALE) for _ in range(60)] for age in (2, 35))
    assert np.mean([a.tall for a in young]) < np.mean([a.tall for a in grown]) - 0.05
    assert np.mean([a.heart for a in young]) > np.mean([a.heart for a in grown]) + 0.05
    assert all(a.child for a in young)
    assert not any(a.child for a in grown)


def test_women_have_breast_shadows_and_men_and_girls_have_none() -> None:
    rng = np.random.default_rng(3)

    def sizes(age: float, sex: Sex) -> list[float]:
        return [random_anatomy(rng, age=age, sex=sex).breast for _ in range(20)]

    assert np.mean(sizes(40, Sex.FEMALE)) > 0.3
    assert max(sizes(40, Sex.MALE) + sizes(6, Sex.FEMALE)) == 0


def test_scarring_pulls_the_hilum_up_and_the_trachea_over() -> None:
    rng = np.random.default_rng(4)
    anatomy = random_anatomy(rng, age=60, sex=Sex.MALE)
    scarred = replace(HEALTHY, shrinkage=(0.0, 1.0)).reshape(anatomy)
    assert scarred.hilar_lift[1] > 0 == scarred.hilar_lift[0]
    assert scarred.tracheal_shift > anatomy.tracheal_shift
    assert scarred.lung_width[1] < anatomy.lung_width[1]


def test_each_scanner_leaves_its_mark_on_the_same_attenuation() -> None:
    ramp = np.tile(np.linspace(0, 1.1, 128, dtype=np.float32), (128, 1))
    films = [expose(ramp, scanner, view=View.AP, rng=np.random.default_rng(7)) for scanner in SCANNERS]
    for film in films:
        columns = film[64:].mean(axis=0)
        assert columns[20] < columns[64] < columns[108], "more attenuation is brighter"
    for index, film in enumerate(films):
        for other in films[index + 1 :]:
            assert np.abs(film.astype(int) - other).mean() > 3
