"""The search against a known objective, killed before any of its SQL statements and in between."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from cxr.adapters.optuna_search import open_search
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.search import PRUNING_EPOCH, STARTUP_TRIALS, Parameter, SearchSpace
from cxr.contracts.search_report import Trial
from cxr.errors import SearchError

EPOCHS = 3

CHOICES = [
    {"field": "loss.gamma", "kind": "double", "minimum": 0.5, "maximum": 3.0},
    {"field": "optimiser.learning_rate", "kind": "double", "minimum": 1e-5, "maximum": 1e-1, "scale": "log"},
    {"field": "schedule.batch_size", "kind": "categorical", "choices": [16, 32, 64]},
]
GRID = [
    {"field": "loss.gamma", "kind": "double", "minimum": 1.0, "maximum": 2.5, "step": 0.5},
    {"field": "loss.class_balance", "kind": "categorical", "choices": [True, False]},
]


@pytest.fixture
def folder():
    """In memory where the machine has it: SQLite waits for the disk at every commit."""
    shared = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        yield Path(name)


def recipe(algorithm="random", trials=STARTUP_TRIALS + 2, parameters=None, **changes):
    space = {
        "search.algorithm": algorithm,
        "search.trials": trials,
        "search.epochs": EPOCHS,
        "search.parameters": parameters or (GRID if algorithm == "grid" else CHOICES),
    }
    return with_values(Recipe(), space | changes)


def objective(parameters, epoch):
    """Best at loss.gamma 1.2; grows with the epochs."""
    return 1 - (parameters["loss.gamma"] - 1.2) ** 2 / 10 - 0.1 / epoch


def search_all(folder: Path, searched: Recipe, score=objective) -> tuple[Trial, ...]:
    with open_search(folder, searched) as search:
        while len(search.trials) < search.planned:
            proposal = search.propose()
            curve, state = [], "complete"
            for epoch in range(1, EPOCHS + 1):
                curve.append(score(proposal.parameters, epoch))
                if search.observe(proposal, epoch=epoch, value=curve[-1]):
                    state = "pruned"
                    break
            search.finish(
                proposal,
                Trial(
                    number=proposal.number,
                    state=state,
                    parameters=proposal.parameters,
                    value=max(curve),
                    curve=tuple(curve),
                    seconds=0.0,
                ),
            )
        return search.trials


# Every child dies by SIGKILL before its n-th SQL statement; the last one ends the search.
KILLED = """
import json, os, signal, sys
from pathlib import Path
import msgspec, sqlalchemy
from adapters_search import recipe, search_all

algorithm, folder, points = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])

def child(limit):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left = limit
    def count(*_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    trials = search_all(folder, recipe(algorithm))
    Path(sys.argv[4]).write_bytes(msgspec.json.encode(trials))
    os._exit(0)

died = [child(limit) for limit in points]
assert child(0) == 0
print(json.dumps(died))
"""


@pytest.mark.parametrize("algorithm", ["bayesianoptimization", "tpe", "random", "grid"])
def test_a_search_that_is_killed_again_and_again_ends_as_an_uninterrupted_one(algorithm, folder):
    (folder / "adapters_search.py").write_text(Path(__file__).read_text())
    program = folder / "killed.py"
    program.write_text(KILLED)
    # in the schema, a proposal, an epoch, the end of a trial, the next trial, …
    points = [5, 40, 75, 76, 83, 91, 99, 118, 131, 170, 260]
    answer = folder / "trials.json"
    done = subprocess.run(
        [sys.executable, program, algorithm, folder / "killed", json.dumps(points), answer],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout).count(-9) >= 8
    killed = msgspec.json.decode(answer.read_bytes(), type=tuple[Trial, ...])
    assert killed == search_all(folder / "uninterrupted", recipe(algorithm))


@pytest.mark.parametrize("algorithm", ["bayesianoptimization", "tpe", "random"])
def test_trial_0_is_the_recipe_and_the_others_are_in_the_space(algorithm, folder):
    searched = recipe(algorithm, trials=STARTUP_TRIALS + 3)
    trials = search_all(folder, searched)
    assert [trial.number for trial in trials] == list(range(STARTUP_TRIALS + 3))
    assert trials[0].parameters == {
        "loss.gamma": 2.0,
        "optimiser.learning_rate": 3e-4,
        "schedule.batch_size": 32,
    }
    assert len({json.dumps(trial.parameters) for trial in trials}) == len(trials)
    for trial in trials:
        assert 0.5 <= trial.parameters["loss.gamma"] <= 3.0
        assert 1e-5 <= trial.parameters["optimiser.learning_rate"] <= 1e-1
        assert trial.parameters["schedule.batch_size"] in (16, 32, 64)
        assert isinstance(with_values(searched, trial.parameters), Recipe)


@pytest.mark.parametrize("algorithm", ["bayesianoptimization", "tpe"])
def test_a_model_of_the_objective_finds_what_chance_does_not(algorithm, folder):
    def nearest(name):
        searched = recipe(name, trials=15, **{"search.pruning": False})
        trials = search_all(folder / name, searched)
        return min(abs(trial.parameters["loss.gamma"] - 1.2) for trial in trials[STARTUP_TRIALS:])

    assert nearest(algorithm) < 0.05
    assert nearest(algorithm) <= nearest("random")


def test_a_seed_gives_the_same_trials_and_another_seed_others(folder):
    first = search_all(folder / "1", recipe())
    assert search_all(folder / "2", recipe()) == first
    other = search_all(folder / "3", recipe(seed=1))
    assert other[0].parameters == first[0].parameters
    assert other[1].parameters != first[1].parameters


def test_a_search_is_made_longer_by_asking_for_more_trials(folder):
    first = search_all(folder / "1", recipe("tpe", trials=4))
    assert search_all(folder / "1", recipe("tpe", trials=8))[:4] == first
    assert search_all(folder / "1", recipe("tpe", trials=8)) == search_all(folder / "2", recipe("tpe", trials=8))


def test_a_grid_is_searched_once_and_whole(folder):
    trials = search_all(folder, recipe("grid", trials=100))
    points = [(trial.parameters["loss.gamma"], trial.parameters["loss.class_balance"]) for trial in trials]
    assert sorted(points) == [(gamma, balance) for gamma in (1.0, 1.5, 2.0, 2.5) for balance in (False, True)]
    assert points[0] == (2.0, True)


def test_a_recipe_outside_of_its_space_is_tried_all_the_same(folder):
    searched = recipe(
        "bayesianoptimization", trials=STARTUP_TRIALS + 4, **{"loss.gamma": 9.0, "schedule.batch_size": 24}
    )
    trials = search_all(folder, searched)
    assert trials[0].parameters["loss.gamma"] == 9.0
    assert trials[0].parameters["schedule.batch_size"] == 24
    assert all(0.5 <= trial.parameters["loss.gamma"] <= 3.0 for trial in trials[1:])
    assert min(abs(trial.parameters["loss.gamma"] - 1.2) for trial in trials[1:]) < 0.2


def test_trials_under_the_median_are_pruned_after_the_first_epochs_and_never_after_the_last(folder):
    falling = iter(range(100))

    def worse_every_trial(parameters, epoch):
        return (1.0 - next(falling) / 1000) / 2 if epoch == 1 else 1.0 - next(falling) / 1000

    trials = search_all(folder / "on", recipe(trials=6), worse_every_trial)
    assert [trial.state for trial in trials] == ["complete"] * 3 + ["pruned"] * 3
    assert {len(trial.curve) for trial in trials[3:]} == {PRUNING_EPOCH}
    trials = search_all(folder / "off", recipe(trials=6, **{"search.pruning": False}), worse_every_trial)
    assert {trial.state for trial in trials} == {"complete"}
    trials = search_all(folder / "short", recipe(trials=6, **{"search.epochs": PRUNING_EPOCH}), worse_every_trial)
    assert {trial.state for trial in trials[:3]} == {"complete"}


def test_what_matters_is_told_from_what_does_not(folder):
    with open_search(folder / "few", recipe(trials=3)) as search:
        assert search.importance() is None
    search_all(folder / "many", recipe(trials=20, **{"search.pruning": False}))
    with open_search(folder / "many", recipe(trials=20)) as search:
        shares = search.importance()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["loss.gamma"] > 0.8
    assert next(iter(shares)) == "loss.gamma"


def test_equal_trials_say_nothing_of_what_matters(folder):
    search_all(folder, recipe(trials=6), lambda parameters, epoch: 1.0)
    with open_search(folder, recipe(trials=6)) as search:
        assert search.importance() is None


def test_a_failed_trial_is_counted_and_teaches_nothing(folder):
    with open_search(folder, recipe(trials=2)) as search:
        proposal = search.propose()
        failed = Trial(
            number=0, state="failed", parameters=proposal.parameters, value=None, curve=(), seconds=1.0, reason="loss"
        )
        search.finish(proposal, failed)
        assert search.propose().number == 1
    with open_search(folder, recipe(trials=2)) as search:
        assert search.trials == (failed,)


def test_one_process_at_a_time(folder):
    with (
        open_search(folder, recipe()),
        pytest.raises(SearchError, match="is being run by another process"),
        open_search(folder, recipe()),
    ):
        pass
    with open_search(folder, recipe()):
        pass


def test_a_search_has_an_identity_for_as_long_as_it_is_kept(folder):
    def identity(place):
        with open_search(place, recipe()) as search:
            return search.identity

    assert identity(folder / "a") == identity(folder / "a")
    assert identity(folder / "a") != identity(folder / "b")


def test_the_parameters_of_every_kind_reach_optuna(folder):
    parameters = [
        Parameter(field="schedule.patience", kind="int", minimum=1, maximum=9, step=4),
        Parameter(field="model.dropout", kind="double", minimum=0.1, maximum=0.35, step=0.1),
        Parameter(field="schedule.batch_size", kind="int", minimum=1, maximum=100, scale="log"),
    ]
    space = SearchSpace(algorithm="random", trials=12, parameters=tuple(parameters), epochs=EPOCHS)
    trials = search_all(folder, msgspec.structs.replace(Recipe(), search=space), lambda values, epoch: 0.5)
    drawn = [trial.parameters for trial in trials[1:]]
    assert {values["schedule.patience"] for values in drawn} == {1, 5, 9}
    assert {round(values["model.dropout"], 9) for values in drawn} == {0.1, 0.2, 0.3}
    assert all(type(values["schedule.batch_size"]) is int for values in drawn)
    assert sum(values["schedule.batch_size"] <= 10 for values in drawn) >= 3
