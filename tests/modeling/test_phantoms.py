import logging

import numpy as np
import pytest
import torch

from cxr.contracts.recipe import ModelRecipe, Preprocessing, Recipe, Sampling, Schedule
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.imaging.phantom import SCANNERS
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.fit import fit
from cxr.modeling.losses import balanced_weights
from cxr.modeling.phantoms import is_phantom, phantom_films, phantoms_beside
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


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.name)
def test_the_films_of_every_simulated_unit_are_known_for_phantoms(scanner):
    assert is_phantom(scanner.name)


@pytest.mark.parametrize(
    ("sources", "count"),
    [(["nih", "belarus"], 12), (["nih", ""], 12), (["phantom_a", "phantom_b"], 0), (["nih", "phantom_e"], 0)],
)
def test_phantoms_are_learnt_beside_real_films_alone(sources, count):
    assert phantoms_beside(Sampling(phantoms=12), sources) == count


@pytest.mark.parametrize("balance", ["films", "sources"])
@pytest.mark.parametrize("sources", [("phantom_a", "phantom_b"), ("a", "phantom_b")])
def test_beside_phantoms_the_same_films_are_learnt_as_without_any_more_and_a_log_line_says_so(
    parts, caplog, sources, balance
):
    train = of_sources(parts[0], sources)
    with caplog.at_level(logging.INFO, logger="cxr.modeling.resident"):
        data = ResidentFilms(train, torch.device("cpu"), recipe(balance=balance, phantoms=12))
    plain = ResidentFilms(train, torch.device("cpu"), recipe(balance=balance))
    assert len(data.films) == len(train)
    np.testing.assert_array_equal(data.chances, plain.chances)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "none of the 12 phantoms of sampling.phantoms is learnt" in line
    assert "phantom_b" in line


def test_beside_real_films_nothing_is_logged(parts, caplog):
    with caplog.at_level(logging.INFO, logger="cxr.modeling.resident"):
        ResidentFilms(parts[0], torch.device("cpu"), recipe(balance="sources", phantoms=12))
    assert not caplog.records


def test_classes_are_weighed_as_often_as_they_are_drawn(parts):
    """Drawing is alike over real films and phantoms, so both count."""
    train = uneven(parts[0])
    data = ResidentFilms(train, torch.device("cpu"), recipe(balance="films", phantoms=12))
    in_the_loss = data.weights.numpy() * np.bincount(data.labels.numpy(), weights=data.chances)
    np.testing.assert_allclose(in_the_loss, in_the_loss.mean(), rtol=1e-6)
    assert not torch.allclose(data.weights, balanced_weights(torch.from_numpy(train.labels), 3))


def of_sources(films, sources):
    """The films, of these sources in turn."""
    named = films.index.films.assign(source=[sources[row % len(sources)] for row in range(len(films))])
    return FilmArray(films.films, films.labels, StudyIndex(named))


def uneven(films):
    """The films without most of the last class."""
    last = np.flatnonzero(films.labels == 2)
    return films.take(np.setdiff1d(np.arange(len(films)), last[2:]))
