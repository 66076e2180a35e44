import pytest
import torch

from cxr.contracts.recipe import Augmentation, ModelRecipe, Optimiser, Preprocessing, Recipe, Schedule
from cxr.errors import TrainingError
from cxr.modeling import fit as fitting
from cxr.modeling.distributed import Processes
from cxr.modeling.fit import fit
from support.training import killed_after, same, training_parts

CPU = torch.device("cpu")


def small_recipe(**changes):
    values = {
        "model": ModelRecipe(architecture="resnet18", weights="none"),
        "preprocessing": Preprocessing(size=32),
        "augmentation": Augmentation(erase=0.2),
        "optimiser": Optimiser(learning_rate=1e-3),
        "schedule": Schedule(epochs=3, batch_size=16, ema_decay=0.9),
    }
    return Recipe(**(values | changes))


@pytest.fixture(scope="module")
def parts(noise_studies):
    return training_parts(noise_studies)


def run(parts, recipe=None, **given):
    return fit(recipe=recipe or small_recipe(), train=parts[0], validation=parts[1], device=CPU, **given)


def test_it_learns_what_there_is_to_learn(parts):
    fitted = run(parts, small_recipe(schedule=Schedule(epochs=6, batch_size=16, ema_decay=0.9)))
    assert fitted.history.epochs[fitted.history.best_epoch - 1].validation_macro_auroc > 0.95
    assert fitted.history.epochs[-1].loss < fitted.history.epochs[0].loss


def test_a_seed_gives_the_same_bits_and_another_seed_others(parts):
    first = run(parts)
    assert same(first, run(parts))
    assert not same(first, run(parts, small_recipe(seed=1)))


@pytest.mark.parametrize("epochs_before", [1, 2])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(parts, tmp_path, epochs_before):
    with pytest.raises(KeyboardInterrupt):
        run(parts, scratch=tmp_path, on_epoch=killed_after(epochs_before))
    assert same(run(parts, scratch=tmp_path), run(parts))


def test_a_resumed_run_tells_the_weights_that_it_started_from(parts, tmp_path, monkeypatch):
    """A node without a network cannot have them again."""
    initialise = fitting.initialise
    monkeypatch.setattr(fitting, "initialise", lambda *given: initialise(*given) and "imagenet")
    with pytest.raises(KeyboardInterrupt):
        run(parts, scratch=tmp_path, on_epoch=killed_after(1))
    monkeypatch.setattr(fitting, "initialise", initialise)
    assert run(parts, scratch=tmp_path).history.initial_weights == "imagenet"


def test_patience_ends_training_and_the_best_epoch_is_kept(parts):
    schedule = Schedule(epochs=30, batch_size=16, patience=2, ema_decay=0.0)
    fitted = run(parts, small_recipe(schedule=schedule, optimiser=Optimiser(learning_rate=1e-6)))
    history = fitted.history
    assert history.stopped == "patience"
    assert len(history.epochs) == history.best_epoch + 2


def test_a_watcher_stops_it(parts):
    fitted = run(parts, on_epoch=lambda epoch: epoch.epoch == 2)
    assert fitted.history.stopped == "pruned"
    assert len(fitted.history.epochs) == 2


def test_divergence_says_what_to_lower(parts):
    with pytest.raises(TrainingError, match=r"must stay finite.*lower optimiser\.learning_rate"):
        run(parts, small_recipe(optimiser=Optimiser(learning_rate=1e30, clip_norm=1e30)))


def test_a_class_without_films_is_named(parts):
    with pytest.raises(TrainingError, match=r"there is no film of \['Tuberculosis'\]"):
        run([parts[0].take(parts[0].labels < 2), parts[1]])


def test_a_batch_that_is_too_small_for_all_processes_is_refused_before_anything_is_trained(parts):
    """Before the processes wait for each other, so that none hangs: there is no group of them in this test."""
    told = r"schedule\.batch_size must be at least the number of processes .*, is 2 for 3 processes; raise it"
    with pytest.raises(TrainingError, match=told):
        run(parts, small_recipe(schedule=Schedule(batch_size=2)), processes=Processes(rank=2, world=3))


def test_the_network_given_back_is_in_evaluation_mode(parts):
    fitted = run(parts, small_recipe(schedule=Schedule(epochs=1, batch_size=16)))
    assert not fitted.network.training
