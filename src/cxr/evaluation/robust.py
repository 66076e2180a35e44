"""How much worse a model does on corrupted films, paired with the same films as they were."""

from collections.abc import Mapping, Sequence

import numpy as np

from cxr.contracts.metrics import CorruptionResult, Estimate, RobustnessReport
from cxr.evaluation.arrays import Floats
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate, estimate_difference
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms

Cell = tuple[str, int]
"""A corruption and its severity."""

_METRICS = ("accuracy", "macro_auroc")


class _Grid:
    """Values of every cell under the same resamples, so that differences are paired."""

    def __init__(self, clean: ScoredFilms, cells: Mapping[Cell, ScoredFilms], *, resamples: int, seed: int) -> None:
        bases = BriefMeasures(clean).bases
        self.bases = {name: bases[OVERALL, name] for name in _METRICS}
        self.clean = _values(clean, resamples=resamples, seed=seed)
        self.cells = {cell: _values(films, resamples=resamples, seed=seed) for cell, films in cells.items()}

    def level(self, name: str, values: Floats) -> Estimate:
        return estimate(values, self.bases[name])

    def drop(self, name: str, values: Floats) -> Estimate:
        return estimate_difference(self.clean[name] - values, self.bases[name])

    def row(self, values: Mapping[str, Floats]) -> dict[str, Estimate]:
        levels = {name: self.level(name, values[name]) for name in _METRICS}
        return levels | {f"{name}_drop": self.drop(name, values[name]) for name in _METRICS}

    def mean(self, cells: Sequence[Cell]) -> dict[str, Estimate]:
        left_out = sum(cell not in self.cells for cell in cells)
        if left_out:
            reason = f"{left_out} of its {len(cells)} corruptions were not measured: see evaluation.severities"
            nothing = Estimate(value=None, reason=reason)
            return dict.fromkeys((*_METRICS, *(f"{name}_drop" for name in _METRICS)), nothing)
        return self.row({name: np.mean([self.cells[cell][name] for cell in cells], axis=0) for name in _METRICS})


def measure_grid(
    clean: ScoredFilms,
    cells: Mapping[Cell, ScoredFilms],
    *,
    presets: Mapping[str, Sequence[Cell]],
    resamples: int,
    seed: int,
    index: str,
    model: str,
) -> RobustnessReport:
    """Accuracy and macro AUROC of every cell and of the mean over each preset, with drops against clean films.

    A preset's mean runs over all its cells, and is null where one was not measured; its interval is that of the mean.

    Args:
        clean: the films as they are.
        cells: the same films in the same order, corrupted.
        presets: name to cells.
        resamples: for each interval.
        seed: of the resamples.
        index: digest of the study index.
        model: digest of the checkpoint.
    """
    grid = _Grid(clean, cells, resamples=resamples, seed=seed)
    return RobustnessReport(
        films=len(clean),
        patients=int(clean.patients.max()) + 1,
        index=index,
        model=model,
        clean_accuracy=grid.level("accuracy", grid.clean["accuracy"]),
        clean_macro_auroc=grid.level("macro_auroc", grid.clean["macro_auroc"]),
        results=tuple(
            CorruptionResult(corruption=corruption, severity=severity, **grid.row(values))
            for (corruption, severity), values in grid.cells.items()
        ),
        presets={name: grid.mean(cells) for name, cells in presets.items()},
    )


def _values(films: ScoredFilms, *, resamples: int, seed: int) -> dict[str, Floats]:
    drawn = bootstrap(BriefMeasures(films), films.patients, resamples=resamples, seed=seed)
    return {name: drawn[OVERALL, name] for name in _METRICS}
