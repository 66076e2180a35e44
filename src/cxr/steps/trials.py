"""What a trial of a search on this machine trains, and how it is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from cxr.contracts.crossval import UntrainedFold
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe, for_trials
from cxr.contracts.split import Fold
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import TrainingError
from cxr.evaluation.unseen import FEWEST, worst_source_auroc
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.fit import fit
from cxr.modeling.inference import choose_device
from cxr.modeling.sampling import draw_films
from cxr.steps.withholding import Bench, labelled, read_folds, tested, that_can_be_trained, unseen_films

Values = Mapping[str, float | int | str | bool]

Watcher = Callable[[int, float], bool]
"""Told of every epoch and of the objective after it; True stops the trial."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What came of a trial's values.

    Attributes:
        value: of the objective.
        pruned: whether the watcher stopped it.
    """

    value: float
    pruned: bool = False


class TrialBench(Protocol):
    """Trains and judges values of the search space."""

    films: int
    """How many a trial learns from, at most."""
    untrained: tuple[UntrainedFold, ...]
    """Sources that no trial is judged on, where trials are judged on unseen ones."""

    def judge(self, values: Values, watch: Watcher) -> Judged:
        """Train with these values, telling the watcher of what is known by epoch.

        Raises:
            TrainingError: training diverged, or the values cannot be judged.
            torch.OutOfMemoryError: they do not fit into memory.
        """


def trial_bench(
    *, studies: Path, split: Path, recipe: Recipe, scratch: Path, weights: Path | None, device: str | None
) -> TrialBench:
    """The bench that the recipe's objective asks for.

    Raises:
        ContractError: the index, the folds or an image are missing or malformed.
        SplitError: the objective is of unseen sources, and there are no two of them, no fold has all findings to learn,
            or the folds are those of another index or of other linked sources.
    """
    trial = for_trials(recipe)
    on, most = choose_device(device), recipe.search.films
    if recipe.search.objective == "macro_auroc":
        train, validation = (
            load_films(studies, StudyIndex.read(split).part(part), recipe.preprocessing, scratch=scratch)
            for part in (Split.TRAIN, Split.VALIDATION)
        )
        return _ValidationBench(trial, draw_films(train, most, seed=recipe.seed), validation, on, weights)
    index, folds = read_folds(split, recipe.split)
    judged = labelled(StudyIndex(index.films[index.films["split"].isin([Split.TRAIN, Split.VALIDATION])]))
    films = load_films(studies, judged, recipe.preprocessing, scratch=scratch)
    drawn = draw_films(films, most, seed=recipe.seed)
    trained, untrained = that_can_be_trained(folds, drawn.index)
    bench = Bench(
        recipe=trial,
        index=index,
        films=drawn,
        device=on,
        state=None,
        weights=weights,
    )
    return _SourcesBench(bench, trained, untrained)


class _ValidationBench:
    """Learns the training films; the macro AUROC of the validation films is the objective."""

    def __init__(
        self, recipe: Recipe, train: FilmArray, validation: FilmArray, device: torch.device, weights: Path | None
    ) -> None:
        self._recipe, self._train, self._validation = recipe, train, validation
        self._device, self._weights = device, weights
        self.films = len(train)
        self.untrained: tuple[UntrainedFold, ...] = ()

    def judge(self, values: Values, watch: Watcher) -> Judged:
        fitted = fit(
            recipe=with_values(self._recipe, values),
            train=self._train,
            validation=self._validation,
            device=self._device,
            weights=self._weights,
            on_epoch=lambda epoch: watch(epoch.epoch, epoch.validation_macro_auroc),
        )
        best = max(epoch.validation_macro_auroc for epoch in fitted.history.epochs)
        return Judged(value=best, pruned=fitted.history.stopped == "pruned")


class _SourcesBench:
    """Withholds every source from training and validation films; its worst macro AUROC is the objective.

    It is known after the last fold, so that there is nothing to watch and nothing to prune.
    """

    def __init__(self, bench: Bench, folds: tuple[Fold, ...], untrained: tuple[UntrainedFold, ...]) -> None:
        self._bench, self._folds, self.untrained = bench, folds, untrained
        self.films = len(bench.films)

    def judge(self, values: Values, watch: Watcher) -> Judged:
        bench = replace(self._bench, recipe=with_values(self._bench.recipe, values))
        value = worst_source_auroc(unseen_films([tested(bench, fold) for fold in self._folds]))
        if np.isnan(value):
            raise TrainingError(
                f"a source of the search must have {FEWEST} patients of a finding and films of another, "
                "none has; raise search.films"
            )
        return Judged(value=value)
