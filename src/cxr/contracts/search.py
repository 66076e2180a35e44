"""The search space: which fields of the recipe are searched, over what, and how (for Optuna and for Katib)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cxr.contracts.files import Contract

Algorithm = Literal["bayesianoptimization", "tpe", "random", "grid"]

Objective = Literal["macro_auroc", "worst_source_auroc"]
"""What a search maximises."""

STARTUP_TRIALS = 5
"""Trials before the samplers' model of the objective is used; they are drawn at random."""

PRUNING_TRIALS = 3
"""Complete trials before one can be pruned."""

PRUNING_EPOCH = 2
"""First epoch after which a trial can be pruned; during the first the learning rate still climbs."""


class Parameter(Contract, frozen=True, kw_only=True):
    """One field of the recipe to search.

    Attributes:
        field: dotted name in the recipe, e.g. "optimiser.learning_rate".
        kind: "double" and "int" use `minimum` and `maximum`; "categorical" uses `choices`.
        scale: "log" samples the logarithm uniformly. Katib's bayesianoptimization does so for every double.
        step: of an int, or of a double on a grid.
    """

    field: str
    kind: Literal["double", "int", "categorical"]
    minimum: float | None = None
    maximum: float | None = None
    scale: Literal["linear", "log"] = "linear"
    step: float | None = None
    choices: tuple[float | int | str | bool, ...] = ()


def _default_parameters() -> tuple[Parameter, ...]:
    return (
        Parameter(field="optimiser.learning_rate", kind="double", minimum=1e-4, maximum=2e-3, scale="log"),
        Parameter(field="optimiser.weight_decay", kind="double", minimum=1e-4, maximum=1e-1, scale="log"),
        Parameter(field="model.dropout", kind="double", minimum=0.05, maximum=0.5),
        Parameter(field="loss.gamma", kind="double", minimum=0.5, maximum=3.0),
        Parameter(field="schedule.batch_size", kind="categorical", choices=(16, 32, 64)),
    )


class SearchSpace(Contract, frozen=True, kw_only=True):
    """A hyperparameter search over fields of the recipe.

    Attributes:
        algorithm: Katib's name of it.
        objective: maximised. "macro_auroc" is measured on the validation films, of sources that the trial learns from.
            "worst_source_auroc" withholds every source from training and validation films, and is the smallest
            macro AUROC of a withheld one: a trial trains a network for each fold, and is never pruned.
        trials: on one machine the first tries the recipe's own values; 0 leaves the recipe as it is.
        epochs: of one trial.
        films: a trial trains on at most this many films, drawn by patient; 0 is all of them.
        pruning: stop a trial whose objective after an epoch is under the median of earlier trials' (Katib: medianstop).
    """

    algorithm: Algorithm = "bayesianoptimization"
    objective: Objective = "macro_auroc"
    trials: Annotated[int, Meta(ge=0)] = 15
    epochs: Annotated[int, Meta(ge=1)] = 4
    films: Annotated[int, Meta(ge=0)] = 0
    pruning: bool = True
    parameters: tuple[Parameter, ...] = msgspec.field(default_factory=_default_parameters)
