"""From scored films to the metrics report."""

import numpy as np
import pandas as pd

from cxr.contracts.metrics import Calibration, Estimate, MetricsReport
from cxr.contracts.recipe import EvaluationRecipe
from cxr.domain import Split
from cxr.evaluation.arrays import Mask
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate
from cxr.evaluation.conformal import measure_prediction_sets
from cxr.evaluation.confusion import confusion
from cxr.evaluation.gaps import measure_gaps
from cxr.evaluation.measures import FullMeasures
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.selective import measure_selective
from cxr.evaluation.subgroups import measure_subgroups


def assess(
    films: ScoredFilms,
    attributes: pd.DataFrame,
    *,
    calibration: Calibration,
    recipe: EvaluationRecipe,
    seed: int,
    index: str,
    model: str,
    split: Split = Split.TEST,
    unlike: Mask | None = None,
) -> MetricsReport:
    """Measure films with the temperature and thresholds of `calibration`; nothing is fitted here.

    Args:
        films: labelled films whose probabilities have that temperature.
        attributes: one row per film, in the same order, with source, view, sex and age_group.
        calibration: fitted on validation films.
        recipe: resamples and targets.
        seed: of the resamples.
        index: digest of the study index.
        model: digest of the checkpoint or bundle.
        split: which part the films are.
        unlike: [n], films that the model refers for being unlike its training films; None where it has no limit yet.
    """
    measures = FullMeasures(films, calibration.operating_points, recipe)
    values = bootstrap(measures, films.patients, resamples=recipe.resamples, seed=seed)
    grouped: dict[str, dict[str, Estimate]] = {}
    for (group, name), drawn in values.items():
        grouped.setdefault(group, {})[name] = estimate(drawn, measures.bases[group, name])
    limits, target = calibration.prediction_sets, calibration.refer_error
    draws = {"resamples": recipe.resamples, "seed": seed}
    matrix = confusion(films.labels, films.decisions, np.ones((1, len(films))), findings=len(films.findings))[0]
    return MetricsReport(
        split=str(split),
        films=len(films),
        patients=int(films.patients.max()) + 1,
        findings=films.findings,
        index=index,
        model=model,
        temperature=calibration.temperature,
        resamples=recipe.resamples,
        overall=grouped[OVERALL],
        per_class={finding: grouped[finding] for finding in films.findings},
        operating_points={point.key: grouped[point.key] for point in calibration.operating_points},
        subgroups=measure_subgroups(films, attributes, resamples=recipe.resamples, seed=seed),
        confusion=tuple(tuple(int(cell) for cell in row) for row in matrix),
        prediction_sets=measure_prediction_sets(films, limits, **draws) if limits else None,
        selective=measure_selective(
            films,
            refer_below=calibration.refer_below,
            target_error=recipe.referral_error if target is None else target,
            unlike=unlike,
            **draws,
        ),
        gaps=measure_gaps(films, attributes, calibration.operating_points, recipe=recipe, seed=seed),
    )
