import msgspec
import pytest

from cxr.contracts.resolve import resolve_recipe
from cxr.contracts.studies import StudyIndex
from cxr.steps.resuming import state_key


@pytest.fixture(scope="module")
def index(noise_studies):
    return StudyIndex.read(noise_studies)


@pytest.mark.parametrize(("objective", "same"), [("macro_auroc", True), ("worst_source_auroc", False)])
def test_a_search_never_compares_trials_that_were_measured_differently(index, objective, same):
    """The temperature of a fold has a say in the AUROC of one finding against the others."""
    recipe = resolve_recipe("cpu", ["evaluation.unseen_share=0.5"])
    other = resolve_recipe("cpu", ["evaluation.unseen_share=0.25"])
    search = msgspec.structs.replace(recipe.search, objective=objective)
    keys = [state_key(given, index, None, search=search) for given in (recipe, other)]
    assert (keys[0] == keys[1]) == same


def test_what_is_only_measured_afterwards_resumes_a_training(index):
    recipes = [resolve_recipe("cpu", [f"evaluation.unseen_share={share}"]) for share in (0, 0.5)]
    assert len({state_key(recipe, index, None) for recipe in recipes}) == 1


def test_another_version_of_the_code_resumes_nothing(index, monkeypatch):
    recipe = resolve_recipe("cpu")
    key = state_key(recipe, index, None)
    monkeypatch.setattr("cxr.steps.resuming.__version__", "0.2.0")
    assert state_key(recipe, index, None) != key
