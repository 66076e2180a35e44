import msgspec
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.recipe import Recipe
from cxr.contracts.search import Algorithm, Parameter, SearchSpace
from cxr.contracts.search_rules import LARGEST_GRID, check_search, grid_values, holds
from cxr.errors import RecipeError

ALGORITHMS = Algorithm.__args__


def recipe(*parameters: Parameter, algorithm: Algorithm = "random", trials: int = 5) -> Recipe:
    space = SearchSpace(algorithm=algorithm, trials=trials, parameters=parameters)
    return msgspec.structs.replace(Recipe(), search=space)


def double(field="loss.gamma", minimum=0.5, maximum=3.0, **more):
    return Parameter(field=field, kind="double", minimum=minimum, maximum=maximum, **more)


def whole(field="schedule.batch_size", minimum=8, maximum=64, **more):
    return Parameter(field=field, kind="int", minimum=minimum, maximum=maximum, **more)


def one_of(*choices, field="loss.kind"):
    return Parameter(field=field, kind="categorical", choices=choices)


@pytest.mark.parametrize(
    ("algorithm", "parameters"),
    [
        (
            "bayesianoptimization",
            (double(), whole(), one_of("focal", "cross_entropy"), double("model.dropout", 1e-3, 0.5)),
        ),
        ("tpe", (double(minimum=0), double("augmentation.noise", 0, 0.1, step=0.01), whole(scale="log"))),
        ("random", (one_of(True, False, field="loss.class_balance"), one_of(0.1, 1, field="loss.gamma"))),
        ("grid", (double(step=0.5), whole(step=8), one_of("focal"), whole("schedule.patience", 1, 3))),
    ],
)
def test_sound_spaces_pass(algorithm, parameters):
    check_search(recipe(*parameters, algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["bayesianoptimization", "tpe", "random"])
def test_the_default_space_passes_where_no_grid_is_asked_for(algorithm):
    check_search(recipe(*SearchSpace().parameters, algorithm=algorithm))


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (double("loss.gama"), "loss.gama is not a field of the recipe; did you mean loss.gamma?"),
        (double("gamma"), "did you mean augmentation.gamma?"),
        (double("loss"), "loss must be a single field, is a section"),
        (whole("preprocessing.size", 32, 64), "preprocessing.size cannot be searched: it must be the same for every"),
        (whole("seed", 1, 9), "seed cannot be searched"),
        (double("gate.accuracy", 0.1, 0.2), "gate.accuracy cannot be searched"),
        (whole("schedule.epochs", 1, 9), "schedule.epochs cannot be searched: search.epochs sets it"),
        (
            Parameter(field="schedule.refit_head", kind="categorical", choices=(True, False)),
            "schedule.refit_head cannot be searched: trials that are judged epoch by epoch leave it out",
        ),
        (double(minimum=3.0, maximum=0.5), "loss.gamma must have minimum < maximum, has 3.0 and 0.5"),
        (double(minimum=1.0, maximum=1.0), "must have minimum < maximum"),
        (double(minimum=None), "must have minimum < maximum, has None and 3.0"),
        (double(minimum=0.0, scale="log"), "loss.gamma has a log scale and must have minimum > 0, has 0"),
        (double(scale="log", step=0.1), "log scale and cannot have a step"),
        (double(step=0.0), "the step of loss.gamma must be above 0 and at most maximum - minimum (2.5), is 0"),
        (double(step=9.0), "at most maximum - minimum (2.5), is 9"),
        (double(choices=(1.0,)), "is double and takes minimum and maximum; make it categorical"),
        (double("schedule.batch_size", 8, 64), "schedule.batch_size takes whole numbers: make it int or categorical"),
        (double("loss.class_balance", 0, 1), "loss.class_balance must be categorical, is double"),
        (whole("loss.kind", 0, 1), "loss.kind must be categorical, is int"),
        (whole(minimum=8.5), "must have whole bounds, has 8.5 and 64"),
        (whole(step=1.5), "the step of schedule.batch_size must be whole and above 0"),
        (one_of(), "loss.kind is categorical and must have distinct choices, has []"),
        (one_of("focal", "focal"), "must have distinct choices"),
        (one_of("focal", "focl"), "loss.kind must be one of cross_entropy, focal; is 'focl'; did you mean focal?"),
        (
            Parameter(field="loss.gamma", kind="categorical", choices=(1.0,), minimum=0.0),
            "it takes choices, and no minimum, maximum, step or scale",
        ),
        (double("model.dropout", 0.1, 1.0), "model.dropout must be a number < 1.0, is 1.0"),
        (double("optimiser.learning_rate", 0.0, 1.0), "optimiser.learning_rate must be a number > 0.0, is 0.0"),
        (whole("schedule.patience", 0, 3), "schedule.patience must be a whole number >= 1, is 0"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_with_the_reason(parameter, message):
    with pytest.raises(RecipeError) as error:
        check_search(recipe(parameter))
    assert message in str(error.value)
    assert str(error.value).startswith("search.parameters: ")


@pytest.mark.parametrize(
    ("algorithm", "parameter", "message"),
    [
        ("bayesianoptimization", double(minimum=0.0), "loss.gamma must have minimum > 0 under bayesianoptimization"),
        ("bayesianoptimization", whole(step=8), "cannot have a step under bayesianoptimization"),
        ("grid", double(), "loss.gamma must have a step on a grid"),
        ("grid", whole(scale="log"), "schedule.batch_size must be linear on a grid"),
    ],
)
def test_what_an_algorithm_would_sample_otherwise_is_refused_for_it_alone(algorithm, parameter, message):
    with pytest.raises(RecipeError, match=message):
        check_search(recipe(parameter, algorithm=algorithm))
    check_search(recipe(parameter, algorithm="random"))


def test_fields_are_searched_once():
    with pytest.raises(RecipeError, match=r"must name each field once, has loss\.gamma twice"):
        check_search(recipe(double(), double(minimum=1.0)))


def test_a_search_needs_something_to_search():
    with pytest.raises(RecipeError, match=r"must name at least one field to search; or set search\.trials=0"):
        check_search(recipe())
    check_search(recipe(trials=0))


def test_a_grid_that_no_one_could_search_is_refused():
    sides = ("rotation", "translation", "scale", "brightness")
    parameters = [double(f"augmentation.{name}", 0, 1, step=0.1) for name in sides]
    with pytest.raises(RecipeError, match=r"at most 10,000 points, search\.parameters span 14,641"):
        check_search(recipe(*parameters, algorithm="grid"))
    assert LARGEST_GRID == 10_000


@settings(max_examples=30)
@given(low=st.integers(-50, 50), points=st.integers(2, 40), step=st.sampled_from([0.01, 0.1, 0.25, 0.003, 1, 7]))
def test_grid_values_are_those_that_optuna_knows(low, points, step):
    parameter = double(minimum=round(low * step, 9), maximum=round((low + points - 1) * step, 9), step=step)
    values = grid_values(parameter)
    assert len(values) == points
    assert values[0] == pytest.approx(parameter.minimum)
    assert values[-1] == pytest.approx(parameter.maximum)
    distribution = optuna.distributions.FloatDistribution(values[0], values[-1], step=step)
    assert all(distribution._contains(value) for value in values)


@settings(max_examples=30)
@given(low=st.integers(1, 9), width=st.integers(1, 30), step=st.none() | st.integers(1, 5))
def test_whole_grids_are_ranges(low, width, step):
    parameter = whole(minimum=low, maximum=low + width, step=step)
    assert grid_values(parameter) == tuple(range(low, low + width + 1, step or 1))


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (double(), (0.5, 2, 3.0), (0.49, 3.01, True, "1")),
        (double(step=0.5), (0.5, 1.0, 3.0), (0.75, 0.0)),
        (whole(), (8, 64), (7, 65)),
        (one_of("focal"), ("focal",), ("cross_entropy",)),
    ],
)
def test_what_a_search_could_draw(parameter, inside, outside):
    assert all(holds(parameter, value) for value in inside)
    assert not any(holds(parameter, value) for value in outside)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rules_exist_for_every_algorithm(algorithm):
    check_search(recipe(one_of("focal", "cross_entropy"), algorithm=algorithm))
