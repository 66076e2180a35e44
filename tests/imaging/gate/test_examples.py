import numpy as np
import pytest

from cxr.contracts.bundle import PICTURES
from cxr.contracts.recipe import Preprocessing
from cxr.imaging.gate.examples import KINDS, strange_pictures, varied_films
from cxr.imaging.gate.vary import varied
from cxr.imaging.polarity import chest_likeness, is_negative
from support.films import chest

PREPROCESSING = Preprocessing(size=64, stored_side=64)


@pytest.fixture(scope="module")
def films():
    return np.stack([chest(64, 64, seed=seed) for seed in range(8)])


def pictures_of(name, films, *, count=6, seed=0):
    rng = np.random.default_rng(seed)
    return list(strange_pictures(KINDS[name], films, PREPROCESSING, count=count, rng=rng))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_pictures_that_differ_and_are_the_same_for_the_same_seed(name, films):
    pictures = pictures_of(name, films)
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.shape == (64, 64)
        assert picture.std() > 1
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    for one, other in zip(pictures, pictures_of(name, films), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_code_of_the_gate_has_examples():
    assert {kind.code for kind in KINDS.values()} == set(PICTURES[1:])


def test_pictures_come_as_a_reader_hands_them_on(films):
    """No plain negative is left: a reader mends it, so the gate never sees one."""
    for name in KINDS:
        assert not any(is_negative(picture) for picture in pictures_of(name, films)), name
    assert len(pictures_of("negative", films)) < 6


def test_a_varied_film_keeps_its_head_up(films):
    rng = np.random.default_rng(0)
    likeness = [chest_likeness(varied(film, rng)) for film in films for _ in range(20)]
    assert np.median(likeness) > 0.3
    assert np.mean(np.array(likeness) > 0) > 0.9


def test_every_film_is_varied_once(films):
    changed = list(varied_films(films, PREPROCESSING, rng=np.random.default_rng(0)))
    assert len(changed) == len(films)
    assert all(film.dtype == np.uint8 and film.shape == (64, 64) for film in changed)
