"""The lung atlas finds the lungs of phantoms wherever they lie, and hiding a part hides that part and no other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cxr.imaging.hidden import FRAME, hide
from cxr.imaging.lungs import lung_mask
from cxr.imaging.phantom import draw_phantom

SIDE = 96
FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")
FILMS = arrays.arrays(np.uint8, (40, 40))


@pytest.fixture(scope="module")
def phantoms():
    """Films with where their lungs truly are."""
    drawn = [draw_phantom(seed=seed, finding=FINDINGS[seed % 3], side=SIDE) for seed in range(24)]
    return [(phantom.film, phantom.lungs) for phantom in drawn]


def _dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_the_atlas_lies_on_the_lungs_whatever_the_finding(phantoms):
    dice = np.array([_dice(lung_mask(film), truth) for film, truth in phantoms])
    assert dice.mean() > 0.75
    by_finding = [dice[number::3].mean() for number in range(3)]
    assert max(by_finding) - min(by_finding) < 0.15
    assert np.mean([(lung_mask(film) & truth).sum() / truth.sum() for film, truth in phantoms]) > 0.8


def test_the_mask_follows_the_film(phantoms):
    dice = []
    for film, truth in phantoms:
        moved = [np.roll(picture, 8, axis=0) for picture in (film, truth)]
        dice.append(_dice(lung_mask(moved[0]), moved[1]))
    assert np.mean(dice) > 0.7


def test_a_wider_cover_holds_a_narrower_one(phantoms):
    film, _ = phantoms[0]
    wide, narrow = lung_mask(film, cover=0.1), lung_mask(film, cover=0.6)
    assert not (narrow & ~wide).any()
    assert wide.sum() > narrow.sum()


@settings(max_examples=25)
@given(film=FILMS)
def test_any_film_has_a_mask_and_the_two_parts_are_complements(film):
    mask = lung_mask(film)
    assert mask.shape == film.shape
    assert mask.any()
    hidden, only = hide(film, "lungs_hidden"), hide(film, "lungs_only")
    assert not hidden[mask].any()
    assert not only[~mask].any()
    np.testing.assert_array_equal(hidden.astype(int) + only, film)


@given(film=FILMS, fill=st.integers(0, 255))
def test_the_border_says_nothing_of_the_middle(film, fill):
    near = round(FRAME * len(film))
    other = film.copy()
    other[near:-near, near:-near] = fill
    np.testing.assert_array_equal(hide(film, "border_only"), hide(other, "border_only"))
    np.testing.assert_array_equal(hide(film, "border_only")[:near], film[:near])


def test_other_lungs_may_be_given():
    film = np.full((40, 40), 9, np.uint8)
    everything = hide(film, "lungs_hidden", lungs=np.ones(film.shape, np.bool_))
    assert not everything.any()
