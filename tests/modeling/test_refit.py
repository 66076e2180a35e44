import numpy as np
import pytest
import torch

from cxr.contracts.recipe import Augmentation, LossRecipe, ModelRecipe, Preprocessing, Recipe, Sampling, Schedule
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.modeling import refit, sampling
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.fit import fit
from cxr.modeling.inference import infer
from cxr.modeling.network import build_network

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing(size=32)


def small_recipe(**changes):
    values = {
        "model": ModelRecipe(architecture="resnet18", weights="none"),
        "preprocessing": PREPROCESSING,
        "augmentation": Augmentation(flip=0.5),
        "schedule": Schedule(epochs=2, batch_size=16, refit_head=True),
    }
    return Recipe(**(values | changes))


@pytest.fixture(scope="module")
def parts(noise_studies):
    index = StudyIndex.read(noise_studies)
    return {
        name: load_films(noise_studies, index.part(part), PREPROCESSING)
        for name, part in (("train", Split.TRAIN), ("validation", Split.VALIDATION))
    }


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(small_recipe().model, PREPROCESSING, 3).eval()


def frequent_first(train):
    """Fewer films of the later classes, and of them fewer of source b."""
    often = (train.labels == 0) | (np.array(train.sources) == "a")
    return train.take(often | (np.arange(len(train)) % 4 == 1))


COUNTED = {
    "sources": (Sampling(balance="sources"), LossRecipe()),
    "classes": (Sampling(), LossRecipe()),
    "films": (Sampling(), LossRecipe(class_balance=False)),
}


def counted(train, way):
    """What each film counts: 1, or findings alike, or within them sources alike."""
    if way == "films":
        return np.ones(len(train))
    weights = 1 / np.bincount(train.labels)[train.labels]
    if way == "sources":
        pairs = list(zip(train.labels, train.sources, strict=True))
        sources_of = {label: len({source for other, source in pairs if other == label}) for label, _ in pairs}
        weights = np.array([1 / (pairs.count(pair) * sources_of[pair[0]]) for pair in pairs])
    return weights / weights.mean()


@pytest.mark.parametrize("flip", [0.0, 0.5])
@pytest.mark.parametrize("way", COUNTED)
def test_the_head_is_where_the_penalised_likelihood_has_no_slope(network, parts, monkeypatch, way, flip):
    monkeypatch.setattr(refit, "_STRENGTH", 3.0)  # a stronger penalty leaves little to be seen
    monkeypatch.setattr(sampling, "_FEW", 1)
    train = frequent_first(parts["train"])
    balance, loss = COUNTED[way]
    refit.refit_head(network, small_recipe(sampling=balance, loss=loss, augmentation=Augmentation(flip=flip)), train)

    views = [train.films, np.flip(train.films, 2)] if flip else [train.films]
    features = np.concatenate([infer(network, films).embedding for films in views]).astype(np.float64)
    labels, weights = np.tile(train.labels, len(views)), np.tile(counted(train, way), len(views))
    logits = features @ network.head.weight.double().numpy(force=True).T + network.head.bias.numpy(force=True)
    beyond = np.exp(logits - logits.max(axis=1, keepdims=True))
    beyond = weights[:, None] * (beyond / beyond.sum(axis=1, keepdims=True) - np.eye(3)[labels])
    spread = features.std(axis=0) + refit._STEADY
    slope = 3.0 / len(features) * beyond.T @ ((features - features.mean(axis=0)) / spread)
    weight = network.head.weight.numpy(force=True) * spread
    assert np.abs(weight).max() > 0.01
    np.testing.assert_allclose(slope, -weight, atol=2e-3)
    np.testing.assert_allclose(beyond.sum(axis=0), 0, atol=2e-2)


def test_only_the_head_is_changed(parts):
    left = fit(recipe=small_recipe(schedule=Schedule(epochs=2, batch_size=16)), device=CPU, **parts)
    again = fit(recipe=small_recipe(), device=CPU, **parts)
    before, after = left.network.state_dict(), again.network.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["head.weight", "head.bias"]
    assert left.history.refit_seconds == 0 < again.history.refit_seconds
    assert again.history.seconds > again.history.refit_seconds


def test_it_is_fitted_to_the_training_films_and_to_no_phantoms(parts):
    sampled = Sampling(balance="sources", phantoms=12)
    left = fit(recipe=small_recipe(sampling=sampled, schedule=Schedule(epochs=2, batch_size=16)), device=CPU, **parts)
    again = fit(recipe=small_recipe(sampling=sampled), device=CPU, **parts)
    refit.refit_head(left.network, small_recipe(sampling=Sampling(balance="sources")), parts["train"])
    torch.testing.assert_close(again.network.head.weight, left.network.head.weight)
    outputs = infer(again.network, parts["train"].films)
    assert (outputs.logits.argmax(1) == parts["train"].labels).mean() > 0.9


def test_the_penalty_does_not_hang_on_how_many_films_there_are(network, parts):
    train = parts["train"]
    symmetric = FilmArray(np.maximum(train.films, train.films[:, :, ::-1]), train.labels, train.index)
    refit.refit_head(network, small_recipe(augmentation=Augmentation()), symmetric)
    once = network.head.weight.detach().clone()
    refit.refit_head(network, small_recipe(augmentation=Augmentation(flip=0.5)), symmetric)
    torch.testing.assert_close(network.head.weight, once, rtol=1e-3, atol=1e-4)
    assert 0.01 < float(once.abs().max()) < 10


def of_source(films, source):
    return np.array(films.sources) == source


def test_films_are_read_by_the_head_that_is_fitted_without_their_source(network, parts):
    recipe = small_recipe(sampling=Sampling(balance="sources"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    reading = refit.read_unseen(network, recipe, **parts)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    logits, labels = [], []
    for source in "ab":
        refit.refit_head(network, recipe, parts["train"].take(~of_source(parts["train"], source)))
        mine = parts["validation"].take(of_source(parts["validation"], source))
        logits.append(infer(network, mine.films).logits)
        labels.append(mine.labels)
    np.testing.assert_allclose(reading.logits, np.concatenate(logits), atol=1e-3)
    np.testing.assert_array_equal(reading.labels, np.concatenate(labels))


def test_a_source_that_has_the_only_films_of_a_finding_is_not_read(network, parts):
    train = parts["train"]
    train = train.take(of_source(train, "a") | (train.labels != 2))
    reading = refit.read_unseen(network, small_recipe(), train, parts["validation"])
    without = parts["validation"].take(of_source(parts["validation"], "b"))
    np.testing.assert_array_equal(reading.labels, without.labels)
    assert reading.logits.shape == (len(without), 3)


def test_sources_that_no_head_can_do_without_cost_nothing(network, parts, monkeypatch):
    monkeypatch.setattr(refit, "infer", lambda *_: pytest.fail("films are read for nothing"))
    one = parts["train"].take(of_source(parts["train"], "a"))
    reading = refit.read_unseen(network, small_recipe(), one, parts["validation"])
    assert (reading.logits.shape, reading.labels.shape) == ((0, 3), (0,))


def test_a_source_that_validation_lacks_is_not_read(network, parts):
    validation = parts["validation"].take(of_source(parts["validation"], "a"))
    reading = refit.read_unseen(network, small_recipe(), parts["train"], validation)
    np.testing.assert_array_equal(reading.labels, validation.labels)


def test_a_run_that_was_killed_while_it_was_fitted_ends_with_the_same_bits(parts, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    whole = fit(recipe=small_recipe(), device=CPU, **parts).network.state_dict()
    with monkeypatch.context() as patched:
        patched.setattr("cxr.modeling.fit.refit_head", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe=small_recipe(), device=CPU, scratch=tmp_path, **parts)
    resumed = fit(
        recipe=small_recipe(),
        device=CPU,
        scratch=tmp_path,
        on_epoch=lambda _: pytest.fail("finished epochs are trained again"),
        **parts,
    ).network.state_dict()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
