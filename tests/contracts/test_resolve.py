import subprocess
import sys
from importlib import resources

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.overlay import fields, nested, value_of, with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import recipe_names, recipe_text, recipe_yaml, resolve_recipe
from cxr.contracts.search import SearchSpace
from cxr.errors import RecipeError

numbers = {name: value for name, value in fields().items() if isinstance(value, float) and not name.startswith("split")}


def refusal(*arguments):
    with pytest.raises(RecipeError) as error:
        resolve_recipe(*arguments)
    return str(error.value)


@pytest.mark.parametrize("name", ["default", "cpu"])
def test_recipes_for_films_of_patients_are_those_that_hold_up_on_other_hospitals(name):
    recipe = resolve_recipe(name)
    assert 0 < recipe.model.lung_frame < recipe.preprocessing.size
    assert recipe.sampling.balance == "sources"
    assert recipe.sampling.phantoms > 0
    assert recipe.loss.kind == "cross_entropy"
    assert all(parameter.field != "loss.gamma" for parameter in recipe.search.parameters)


def test_films_of_unseen_sources_need_a_head_that_is_fitted_again():
    assert "evaluation.unseen_share needs schedule.refit_head=true, is 0.5" in refusal(
        "default", ["evaluation.unseen_share=0.5"]
    )
    assert resolve_recipe("default", ["evaluation.unseen_share=0.5", "schedule.refit_head=true"])


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_says_what_it_is_for(name):
    recipe = resolve_recipe(name)
    assert recipe.search.trials == 0 or recipe.search.parameters
    assert resources.files("cxr.recipes").joinpath(f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize(
    "text",
    [
        "loss:\n  gamma: 1.5\n",
        "loss: {gamma: 1.5}",
        '{"loss": {"gamma": 1.5}}',
        "# a comment\n\nloss:\n  gamma: 15e-1\n",
    ],
)
def test_text_states_only_what_differs(text):
    loss = msgspec.structs.replace(Recipe().loss, gamma=1.5)
    assert resolve_recipe(text) == msgspec.structs.replace(Recipe(), loss=loss)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_files_are_read_by_path(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_text('{"seed": 7}')
    assert resolve_recipe(str(path)).seed == 7


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert resolve_recipe(str(tmp_path / "empty.yaml")) == Recipe()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31 - 1),
    gamma=st.floats(0, 10),
    choices=st.lists(st.integers(1, 512), min_size=1, unique=True),
)
def test_a_recipe_survives_being_written_as_json_or_yaml(seed, gamma, choices):
    parameters = [{"field": "schedule.batch_size", "kind": "categorical", "choices": choices}]
    recipe = with_values(Recipe(), {"seed": seed, "loss.gamma": gamma, "search.parameters": parameters})
    assert resolve_recipe(recipe_text(recipe)) == recipe
    assert resolve_recipe(recipe_yaml(recipe)) == recipe


@settings(max_examples=30)
@given(name=st.sampled_from(sorted(numbers)), share=st.floats(0.5, 1))
def test_an_override_changes_its_field_and_no_other(name, share):
    value = numbers[name] * share
    changed = resolve_recipe("{}", [f"{name}={value!r}"])
    assert value_of(changed, name) == value
    assert with_values(changed, {name: numbers[name]}) == Recipe()


def test_overrides_are_yaml_and_the_last_one_wins():
    recipe = resolve_recipe(
        "seed: 1\n",
        [
            "seed=2",
            "seed=3",
            "optimiser.learning_rate=1e-4",
            "evaluation.severities=[1, 3]",
            "loss.class_balance=false",
            "model.architecture=resnet18",
            "schedule={epochs: 3, patience: 2}",
            "search.parameters=[{field: loss.gamma, kind: double, minimum: 1, maximum: 2}]",
        ],
    )
    assert recipe.seed == 3
    assert recipe.optimiser.learning_rate == 1e-4
    assert recipe.evaluation.severities == (1, 3)
    assert recipe.loss.class_balance is False
    assert recipe.model.architecture == "resnet18"
    assert (recipe.schedule.epochs, recipe.schedule.patience, recipe.schedule.batch_size) == (3, 2, 32)
    assert [parameter.field for parameter in recipe.search.parameters] == ["loss.gamma"]


def test_whole_floats_are_integers_where_those_are_wanted():
    recipe = resolve_recipe("default", ["evaluation.severities=[1.0, 3.0]", "seed=4.0", "model.output_stride=16.0"])
    assert recipe.evaluation.severities == (1, 3)
    assert type(recipe.seed) is int
    assert recipe.model.output_stride == 16
    assert "must be a whole number, is 4.5" in refusal("default", ["seed=4.5"])


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("loss.gama=1", "loss.gamma"),
        ("optimizer.learning_rate=1", "optimiser.learning_rate"),
        ("learning_rate=1", "optimiser.learning_rate"),
        ("optimiser.lr_rate=1", "optimiser.learning_rate"),
        ("schedule.epoch=1", "schedule.epochs"),
        ("search.trails=1", "search.trials"),
    ],
)
def test_an_unknown_name_gives_the_nearest_and_the_list(override, near):
    name = override.partition("=")[0]
    message = refusal("default", [override])
    assert f"override {override}: {name} is not a field of the recipe; did you mean {near}? Fields of " in message


def test_the_list_is_that_of_the_section():
    message = refusal("loss: {zzz: 1}")
    assert message.endswith("Fields of loss: kind, alpha, gamma, class_balance, label_smoothing")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.gamma=-1", "loss.gamma must be a number >= 0.0, is -1"),
        ("loss.gamma=two", "loss.gamma must be a number, is 'two'"),
        ("loss.gamma=", "loss.gamma must be a number, is None"),
        ("loss.gamma=.nan", "loss.gamma must be finite, is nan"),
        ("loss.gamma=true", "loss.gamma must be a number, is True"),
        ("loss.kind=focl", "loss.kind must be one of cross_entropy, focal; is 'focl'; did you mean focal?"),
        ("loss.class_balance=yes", "loss.class_balance must be true or false, is 'yes'"),
        ("loss=3", "loss must be names and values, is 3"),
        ("model.dropout=1", "model.dropout must be a number < 1.0, is 1"),
        ("model.output_stride=8", "model.output_stride must be one of 16, 32; is 8"),
        ("evaluation.severities=[1, 9]", "evaluation.severities[1] must be a whole number <= 5, is 9"),
        ("evaluation.severities=3", "evaluation.severities must be a list, is 3"),
        ("preprocessing.clip_percentiles=[1]", "preprocessing.clip_percentiles must be a list of length 2, is [1]"),
        ("search.parameters=[{kind: int}]", "search.parameters[0] must state its field, is {'kind': 'int'}"),
        ("search.parameters=[{feild: loss.gamma}]", "did you mean search.parameters[0].field?"),
        ("seed=99999999999", "seed must be a whole number <= 2147483647, is 99999999999"),
        ("version=2", "version must be one of 1; is 2"),
        ("loss.gamma={", "must be YAML or JSON"),
    ],
)
def test_a_wrong_value_gives_the_constraint_the_value_and_the_path(override, message):
    assert message in refusal("default", [override])


def test_errors_say_where_the_mistake_is(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("loss: {gamma: -1}")
    assert refusal(str(path)).startswith(f"{path}: loss.gamma")
    assert refusal("loss: {gamma: -1}").startswith("the recipe given as text: loss.gamma")
    assert refusal("default", ["loss.gamma=-1"]).startswith("override loss.gamma=-1: loss.gamma")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("demoo", "did you mean demo?"),
        ("", "a recipe must be a name (cpu, default, demo), a file ending in .yaml, .yml, .json, or text; is ''"),
        ("missing.yaml", "the recipe missing.yaml must be a readable text file"),
        ("- 1\n- 2\n", "must hold sections such as"),
        ('{"loss": {"gamma": 1', "must be YAML or JSON"),
        ("seed: 1\nseed: 2\n", "seed occurs twice at line 1"),
        ("loss.gamma: 1", "loss.gamma must be written nested, one section per level, e.g. {loss: {gamma: …}}"),
        ("3: 4", "3 is not a field of the recipe"),
    ],
)
def test_a_source_that_is_none_is_refused(source, message):
    assert message in refusal(source)


@pytest.mark.parametrize("override", ["loss.gamma", "=1", " =1", ""])
def test_an_override_is_a_field_and_a_value(override):
    assert "an override must be FIELD=VALUE, e.g. loss.gamma=1.5" in refusal("default", [override])


@settings(max_examples=30)
@given(st.text(max_size=30))
def test_any_text_gives_a_recipe_or_a_recipe_error(text):
    for arguments in ((text,), ("default", [text]), ("default", [f"loss.gamma={text}"])):
        try:
            assert isinstance(resolve_recipe(*arguments), Recipe)
        except RecipeError as error:
            assert str(error)  # noqa: PT017


def test_contradictions_are_found_after_all_overrides_are_applied():
    assert resolve_recipe("default", ["split.train=0.95", "split.validation=0.02"]).split.train == 0.95
    assert "split.train + split.validation must be under 1" in refusal("default", ["split.train=0.95"])
    assert "bayesianoptimization" in refusal(
        "default", ["search.parameters=[{field: loss.gamma, kind: double, minimum: 0, maximum: 1}]"]
    )


def test_json_and_plain_words_need_no_yaml_and_no_torch():
    program = """
import sys
sys.modules["yaml"] = None
from cxr.contracts.resolve import resolve_recipe
from cxr.errors import RecipeError
recipe = resolve_recipe('{"seed": 7}', ["model.architecture=resnet18", "loss.gamma=1e-1", "loss.class_balance=true"])
assert (recipe.seed, recipe.model.architecture, recipe.loss.gamma) == (7, "resnet18", 0.1)
try:
    resolve_recipe("seed: 7")
except RecipeError as error:
    assert "must be JSON where PyYAML is not installed" in str(error), error
else:
    raise AssertionError
assert not {"torch", "pandas", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_names_are_dotted_and_point_at_single_fields():
    assert fields()["loss.gamma"] == Recipe().loss.gamma
    assert fields()["search.parameters"] == msgspec.to_builtins(SearchSpace().parameters)
    assert all(value_of(Recipe(), name) == value for name, value in numbers.items())
    assert "loss" not in fields()
    assert nested("a.b.c", 1) == {"a": {"b": {"c": 1}}}
