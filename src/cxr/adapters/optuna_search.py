"""A search with Optuna, imported nowhere else, that survives a kill.

Trials are numbered 0, 1, … and each is proposed by a sampler that is made anew from the seed and that number, so a
proposal depends on nothing but the seed and the trials that ended before it. A trial that a kill interrupted is
proposed again with the same values, and the search ends as an uninterrupted one would.
"""

import fcntl
import itertools
import logging
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from cxr.contracts.overlay import value_of
from cxr.contracts.recipe import Recipe
from cxr.contracts.search import PRUNING_EPOCH, PRUNING_TRIALS, STARTUP_TRIALS, Algorithm, Parameter
from cxr.contracts.search_report import Trial
from cxr.contracts.search_rules import grid_values, holds
from cxr.errors import SearchError

logger = logging.getLogger(__name__)

_OUTCOME = "outcome"
_IDENTITY = "identity"
_STUDY = "search"
_DATABASE = "trials.db"

Values = dict[str, float | int | str | bool]


@dataclass(frozen=True, eq=False)
class Proposal:
    """Values to try next."""

    number: int
    parameters: Values
    asked: optuna.Trial


class Search:
    """One study in a SQLite file; use `open_search`."""

    def __init__(self, study: optuna.Study, recipe: Recipe) -> None:
        self._study = study
        self._seed = recipe.seed
        self._space = recipe.search
        self._distributions = {p.field: _distribution(p) for p in self._space.parameters}
        self._own: Values = {p.field: value_of(recipe, p.field) for p in self._space.parameters}
        self._own_is_inside = all(holds(p, self._own[p.field]) for p in self._space.parameters)
        self._grid = self._grid_points() if self._space.algorithm == "grid" else []
        for stale in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            outcome = stale.user_attrs.get(_OUTCOME)
            self._tell(stale.number, None if outcome is None else msgspec.json.decode(outcome, type=Trial))

    @property
    def identity(self) -> str:
        """Of this search; one that begins anew, even with the same recipe and films, has another."""
        return str(self._study.user_attrs[_IDENTITY])

    @property
    def planned(self) -> int:
        """Trials that the search will make in all: the recipe's own values, then those of the algorithm."""
        trials = self._space.trials
        return min(trials, 1 + len(self._grid)) if self._space.algorithm == "grid" else trials

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Trials that have ended, by number."""
        outcomes = [trial.user_attrs.get(_OUTCOME) for trial in self._study.get_trials(deepcopy=False)]
        ended = [msgspec.json.decode(outcome, type=Trial) for outcome in outcomes if outcome is not None]
        return tuple(sorted(ended, key=lambda trial: trial.number))

    def propose(self) -> Proposal:
        """The next values to try: the recipe's own first, so that the search never ends worse than it began."""
        number = len(self.trials)
        if number == 0 and not self._own_is_inside:
            return Proposal(0, self._own, self._study.ask())
        fixed = self._own if number == 0 else self._grid[number - 1] if self._grid else None
        if fixed is not None and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(fixed)
        self._study.sampler = _sampler(self._space.algorithm, self._seed + number)
        asked = self._study.ask(self._distributions)
        return Proposal(number, dict(asked.params), asked)

    def observe(self, proposal: Proposal, *, epoch: int, value: float) -> bool:
        """Report the objective after an epoch; True when the trial should be stopped."""
        proposal.asked.report(value, epoch)
        last = epoch >= self._space.epochs
        return self._space.pruning and not last and proposal.asked.should_prune()

    def finish(self, proposal: Proposal, outcome: Trial) -> None:
        """Record how a trial ended."""
        proposal.asked.set_user_attr(_OUTCOME, msgspec.json.encode(outcome).decode())
        self._tell(proposal.asked.number, outcome)

    def importance(self) -> dict[str, float] | None:
        """Share of each parameter in the variance of the objective, most important first."""
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 4 or len({trial.value for trial in complete}) == 1:
            return None
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
        shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}

    def _grid_points(self) -> list[Values]:
        """The grid without the recipe's own point, in an order that covers it evenly however few trials there are."""
        names = [parameter.field for parameter in self._space.parameters]
        axes = [grid_values(parameter) for parameter in self._space.parameters]
        points = [dict(zip(names, point, strict=True)) for point in itertools.product(*axes)]
        random.Random(self._seed).shuffle(points)
        return [point for point in points if point != self._own]

    def _tell(self, asked: int, outcome: Trial | None) -> None:
        """End a trial in the study; without an outcome it was interrupted and counts for nothing."""
        if outcome is None or outcome.state == "failed" or (outcome.number == 0 and not self._own_is_inside):
            self._study.tell(asked, state=TrialState.FAIL)
        elif outcome.state == "pruned":
            self._study.tell(asked, state=TrialState.PRUNED)
        else:
            self._study.tell(asked, outcome.value)


@contextmanager
def open_search(folder: Path, recipe: Recipe) -> Iterator[Search]:
    """Open the search kept in `folder`, or begin it; the folder must belong to this recipe and these films alone.

    Raises:
        SearchError: another process is running it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it has a handler of its own and tells of every step
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SearchError(f"the search in {folder} is being run by another process; wait for it to end") from error
        database = folder / _DATABASE
        if not database.exists():
            draft = database.with_name(f".{uuid.uuid4().hex}")
            with _study(draft) as study:
                study.set_user_attr(_IDENTITY, uuid.uuid4().hex)
            draft.replace(database)
        with _study(database) as study:
            yield Search(study, recipe)


@contextmanager
def _study(database: Path) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{database.resolve()}")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=PRUNING_TRIALS, n_warmup_steps=PRUNING_EPOCH)
    try:
        yield optuna.create_study(
            storage=storage, study_name=_STUDY, direction="maximize", pruner=pruner, load_if_exists=True
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _sampler(algorithm: Algorithm, seed: int) -> BaseSampler:
    """Optuna's counterpart of Katib's algorithm; the points of a grid are given, not sampled."""
    if algorithm == "bayesianoptimization":
        return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    if algorithm == "tpe":
        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True)
    return RandomSampler(seed=seed)


def _distribution(parameter: Parameter) -> BaseDistribution:
    low, high, step = parameter.minimum, parameter.maximum, parameter.step
    if low is None or high is None:
        return CategoricalDistribution(parameter.choices)
    if step is not None:
        high = float(grid_values(parameter)[-1])
    log = parameter.scale == "log"
    if parameter.kind == "int":
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)
