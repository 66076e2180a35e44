import numpy as np
import pytest
import torch

from cxr.contracts.recipe import ModelRecipe, Preprocessing, Recipe, Sampling, Schedule
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.modeling.dataset import load_films
from cxr.modeling.fit import fit
from cxr.modeling.phantoms import phantom_films
from cxr.modeling.resident import ResidentFilms

SMALL = Preprocessing(size=32)


@pytest.fixture(scope="module")
def parts(noise_studies):
    index = StudyIndex.read(noise_studies)
    return [load_films(noise_studies, index.part(part), SMALL) for part in (Split.TRAIN, Split.VALIDATION)]


def recipe(**sampling):
    return Recipe(
        model=ModelRecipe(architecture="resnet18", weights="none"),
        preprocessing=SMALL,
        schedule=Schedule(epochs=1, batch_size=16),
        sampling=Sampling(**sampling),
    )


def test_phantoms_have_every_finding_and_follow_their_seed():
    drawn = phantom_films(12, SMALL, seed=3)
    assert drawn.films.shape == (12, 32, 32)
    assert set(drawn.labels) == {0, 1, 2}
    phantom_films.cache_clear()
    np.testing.assert_array_equal(drawn.films, phantom_films(12, SMALL, seed=3).films)
    assert not np.array_equal(drawn.films, phantom_films(12, SMALL, seed=4).films)


def test_phantoms_lie_after_the_real_films(parts):
    data = ResidentFilms(parts[0], torch.device("cpu"), recipe(balance="sources", phantoms=12))
    assert len(data.films) == len(data.labels) == len(parts[0]) + 12
    films, labels = data.batch(torch.arange(len(parts[0])))
    np.testing.assert_array_equal(films.squeeze(1).numpy(), parts[0].films)
    np.testing.assert_array_equal(labels.numpy(), parts[0].labels)


def test_balanced_sources_make_every_class_as_likely_and_weigh_none(parts):
    data = ResidentFilms(parts[0], torch.device("cpu"), recipe(balance="sources", phantoms=12))
    mass = [data.chances[data.labels.numpy() == label].sum() for label in range(3)]
    np.testing.assert_allclose(mass, 1 / 3)
    np.testing.assert_array_equal(data.weights.numpy(), 1)


def test_without_either_every_film_is_shown_once(parts):
    assert ResidentFilms(parts[0], torch.device("cpu"), recipe()).chances is None


def test_an_epoch_is_as_long_as_it_is_without_phantoms(parts):
    def steps(**sampling):
        history = fit(
            recipe=recipe(**sampling), train=parts[0], validation=parts[1], device=torch.device("cpu")
        ).history
        return round(history.epochs[0].films_per_second * history.epochs[0].seconds)

    assert steps(balance="sources", phantoms=12) == pytest.approx(steps(), abs=2)
