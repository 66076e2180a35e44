"""What a search found: every trial, and the one whose values are kept."""

from typing import Literal

from cxr.contracts.crossval import UntrainedFold
from cxr.contracts.files import Contract
from cxr.contracts.recipe import Recipe
from cxr.contracts.search import Algorithm, Objective

SEARCH_FILE = "search.json"
TRIALS_FILE = "trials.csv"
SEARCH_FIGURE = "figures/search.png"

TrialState = Literal["complete", "pruned", "failed"]


class Trial(Contract, frozen=True, kw_only=True):
    """One training with other values in the searched fields.

    Attributes:
        number: 0 is the recipe as it was given. Katib cannot be told to try that: its trials begin at 1.
        state: "pruned" was stopped for being under the median of earlier trials, "failed" has a `reason`.
        parameters: dotted field of the recipe to the value that was tried.
        value: the objective, of the best epoch where it is known by epoch; null when nothing was finished.
        curve: the objective after every epoch; empty where only the value is known: from Katib, and of unseen sources.
        seconds: wall time.
    """

    number: int
    state: TrialState
    parameters: dict[str, float | int | str | bool]
    value: float | None
    curve: tuple[float, ...]
    seconds: float
    reason: str | None = None


class SearchReport(Contract, frozen=True, kw_only=True):
    """A search over the recipe's search space.

    Attributes:
        planned: trials that the space asks for; a grid may hold fewer than `search.trials`.
        epochs: of a complete trial.
        films: training films of a trial.
        index: digest of the study index.
        best: number of the complete trial with the highest value, the earliest of equals; null without a search.
        importance: field to its share in the variance of the objective (fANOVA, Hutter et al. 2014), summing to 1;
            null when fewer than four trials were completed or all of them are equal.
        untrained: sources that no trial was judged on, where the objective is of unseen ones.
    """

    version: Literal[1] = 1
    algorithm: Algorithm
    objective: Objective = "macro_auroc"
    seed: int
    planned: int
    epochs: int
    films: int
    index: str
    trials: tuple[Trial, ...]
    best: int | None
    importance: dict[str, float] | None
    untrained: tuple[UntrainedFold, ...] = ()

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        trials: tuple[Trial, ...],
        *,
        planned: int,
        films: int,
        index: str,
        importance: dict[str, float] | None = None,
        untrained: tuple[UntrainedFold, ...] = (),
    ) -> "SearchReport":
        """The report of a search over the recipe's search space, whose best trial is found here."""
        complete = [trial for trial in trials if trial.state == "complete"]
        # the first of equals: the recipe's own values are only given up for better ones
        best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
        return cls(
            algorithm=recipe.search.algorithm,
            objective=recipe.search.objective,
            seed=recipe.seed,
            planned=planned,
            epochs=recipe.search.epochs,
            films=films,
            index=index,
            trials=trials,
            best=None if best is None else best.number,
            importance=importance,
            untrained=untrained,
        )

    @property
    def kept(self) -> Trial | None:
        """The best trial, whose values the search keeps."""
        return next((trial for trial in self.trials if trial.number == self.best), None)
