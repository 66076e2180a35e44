"""Seconds of the weighted bootstrap against a loop over scikit-learn.

    python bench/bootstrap.py [--films 2500] [--resamples 2000]

Both give 95% intervals of accuracy, macro F1, macro AUROC and macro AUPRC by resampling patients. The loop is timed on
fewer resamples and scaled; `all metrics` is the whole metrics report with its subgroups.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from cxr.contracts.recipe import EvaluationRecipe
from cxr.domain import TAXONOMY
from cxr.evaluation.assess import assess
from cxr.evaluation.bootstrap import bootstrap
from cxr.evaluation.measures import FullMeasures
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import fit_calibration

LOOPED = 40


def main() -> None:
    """Time the three and print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, default=2500)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, options.films)
    logits = rng.normal(size=(options.films, 3)) + 2.5 * np.eye(3)[labels]
    groups = [f"patient {number}" for number in rng.integers(0, options.films * 4 // 5, options.films)]
    recipe = EvaluationRecipe(resamples=options.resamples)
    calibration = fit_calibration(logits, labels, groups, findings=TAXONOMY.findings, recipe=recipe)
    films = ScoredFilms.from_logits(
        logits, labels, groups, temperature=calibration.temperature, findings=TAXONOMY.findings
    )
    attributes = pd.DataFrame({name: rng.choice(list("ab"), len(films)) for name in ("source", "view", "sex")})
    attributes["age_group"] = None

    weighted = seconds(
        lambda: bootstrap(
            FullMeasures(films, calibration.operating_points, recipe),
            films.patients,
            resamples=options.resamples,
            seed=1,
        )
    )
    everything = seconds(
        lambda: assess(films, attributes, calibration=calibration, recipe=recipe, seed=1, index="", model="")
    )
    looped = seconds(lambda: loop(films, rng)) * options.resamples / LOOPED
    print(f"{options.films} films, {options.resamples} resamples of patients")
    print(f"scikit-learn loop, 4 metrics    {looped:8.2f} s")
    print(f"weighted, all metrics           {weighted:8.2f} s")
    print(f"whole report with subgroups     {everything:8.2f} s")
    print(f"ratio loop / weighted           {looped / weighted:8.1f}")


def loop(films: ScoredFilms, rng: np.random.Generator) -> None:
    """Resample patients one by one and let scikit-learn score the copies."""
    rows = [np.flatnonzero(films.patients == patient) for patient in range(films.patients.max() + 1)]
    truth = np.eye(len(films.findings))
    for _ in range(LOOPED):
        chosen = np.concatenate([rows[patient] for patient in rng.integers(0, len(rows), len(rows))])
        labels, probabilities = films.labels[chosen], films.probabilities[chosen]
        decisions = probabilities.argmax(axis=1)
        accuracy_score(labels, decisions)
        f1_score(labels, decisions, average="macro")
        roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
        average_precision_score(truth[labels], probabilities, average="macro")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
