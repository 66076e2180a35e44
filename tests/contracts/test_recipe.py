import msgspec
import pytest

from cxr.contracts.files import read_json, write_json
from cxr.contracts.recipe import EvaluationRecipe, Recipe, Schedule, for_trials
from cxr.contracts.resolve import check_recipe
from cxr.contracts.search import SearchSpace
from cxr.errors import ContractError, RecipeError


def test_the_defaults_are_a_valid_recipe(tmp_path):
    check_recipe(Recipe())
    write_json(tmp_path / "recipe.json", Recipe())
    assert read_json(tmp_path / "recipe.json", Recipe) == Recipe()


def test_every_default_lies_within_its_own_bounds_and_type():
    assert msgspec.convert(msgspec.to_builtins(Recipe()), Recipe) == Recipe()


def test_the_defaults_that_are_promised_to_users():
    recipe = Recipe()
    assert recipe.seed == 42
    assert recipe.model.architecture == "densenet121"
    assert (recipe.loss.alpha, recipe.loss.gamma) == (0.25, 2.0)
    assert (recipe.split.train, recipe.split.validation) == (0.8, 0.1)
    assert (recipe.evaluation.triage_sensitivity, recipe.evaluation.triage_specificity) == (0.9, 0.7)
    assert (recipe.search.algorithm, recipe.search.trials) == ("bayesianoptimization", 15)


@pytest.mark.parametrize(("objective", "refitted"), [("macro_auroc", False), ("worst_source_auroc", True)])
def test_a_trial_fits_the_head_again_only_where_the_network_at_the_end_is_judged(objective, refitted):
    search = SearchSpace(objective=objective, epochs=2)
    evaluation = EvaluationRecipe(unseen_share=0.5)
    recipe = Recipe(schedule=Schedule(epochs=9, refit_head=True), search=search, evaluation=evaluation)
    trial = for_trials(recipe)
    check_recipe(trial)
    assert (trial.schedule.epochs, trial.schedule.refit_head) == (2, refitted)
    assert bool(trial.evaluation.unseen_share) == refitted
    assert msgspec.structs.replace(trial, schedule=recipe.schedule, evaluation=evaluation) == recipe


def test_a_recipe_of_a_later_version_is_refused(tmp_path):
    (tmp_path / "recipe.json").write_text('{"version": 2}')
    with pytest.raises(ContractError, match="version"):
        read_json(tmp_path / "recipe.json", Recipe)


@pytest.mark.parametrize(("train", "validation"), [(0.9, 0.1), (0.8, 0.3)])
def test_shares_must_leave_test_films(train, validation):
    split = msgspec.structs.replace(Recipe().split, train=train, validation=validation)
    with pytest.raises(RecipeError, match=r"split\.train \+ split\.validation must be under 1"):
        check_recipe(msgspec.structs.replace(Recipe(), split=split))
