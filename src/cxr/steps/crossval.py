"""Crossval: withhold every source, and measure the recipe on films from sources that its networks never saw."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cxr.contracts.crossval import CROSSVAL_FILE, CROSSVAL_TABLE, Crossval, FoldScore, UnseenTrust, UntrainedFold
from cxr.contracts.files import new_folder, value_digest, write_json
from cxr.contracts.metrics import Estimate
from cxr.contracts.recipe import Recipe
from cxr.errors import TrainingError
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.unseen import measure_trust, score_unseen
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import choose_device
from cxr.progress import progress
from cxr.steps.resuming import check_weights, state_key
from cxr.steps.withholding import Bench, TestedFold, labelled, read_folds, tested, that_can_be_trained, unseen_films

_METRICS = ("macro_auroc", "accuracy")


def crossval(
    *,
    studies: Path,
    split: Path,
    recipe: Recipe,
    out: Path,
    scratch: Path,
    weights: Path | None = None,
    device: str | None = None,
) -> Crossval:
    """Train a network for every fold that leaves sources out, and measure all of them on what they never saw.

    A fold whose remaining films lack a finding is not trained; the report says so.

    Killed at any point and called again with the same arguments, it goes on after the last finished epoch.

    Args:
        studies: images.
        split: folder with the index and with `folds.json`.
        recipe: what to train and how.
        out: folder to write: crossval.json, crossval.csv.
        scratch: decoded films, the state of training and the finished folds are kept there.
        weights: file of initial weights instead of ImageNet's.
        device: "cpu", "cuda", …; the first GPU, or the CPU, when None.

    Raises:
        ContractError: a file is missing or malformed.
        SplitError: there are fewer than two sources, every fold lacks a finding to learn, or the folds are those of
            another index or of other linked sources.
        TrainingError: the weights are missing or training diverged.
    """
    index, every = read_folds(split, recipe.split)
    folds, untrained = that_can_be_trained(every, index)
    check_weights(weights)
    bench = Bench(
        recipe=recipe,
        index=index,
        films=load_films(studies, labelled(index), recipe.preprocessing, scratch=scratch),
        device=choose_device(device),
        state=scratch / f"crossval-{state_key(recipe, index, weights)}",
        weights=weights,
    )
    found = []
    with progress("folds", len(folds)) as advance:
        for fold in folds:
            found.append(tested(bench, fold))
            advance(1)
    if len(origins := {fold.origin for fold in found}) > 1:
        raise TrainingError(
            f"all folds must have started from the same weights, some from {' and some from '.join(sorted(origins))}; "
            f"remove {bench.state} and run `cxr crossval` again where the weights can be had"
        )
    report = summarise(found, recipe=recipe, index=index.digest, untrained=untrained)
    with new_folder(out) as folder:
        write_json(folder / CROSSVAL_FILE, report)
        _write_table(folder / CROSSVAL_TABLE, report)
    return report


def summarise(
    folds: list[TestedFold], *, recipe: Recipe, index: str, untrained: tuple[UntrainedFold, ...] = ()
) -> Crossval:
    """The report of tested folds."""
    draws = {"resamples": recipe.evaluation.resamples, "seed": recipe.seed}
    unseen = unseen_films(folds)
    scores = score_unseen(unseen, **draws)
    return Crossval(
        index=index,
        recipe=value_digest(recipe),
        initial_weights=folds[0].origin,
        seed=recipe.seed,
        folds=tuple(_fold_score(fold, recipe) for fold in folds),
        sources=scores.sources,
        pairs=scores.pairs,
        worst_source_auroc=scores.worst,
        mean_source_auroc=scores.mean,
        accuracy=scores.accuracy,
        trust=measure_trust(
            unseen.films,
            np.concatenate([fold.sets for fold in folds]),
            np.concatenate([fold.decided for fold in folds]),
            error=recipe.evaluation.conformal_error,
            **draws,
        ),
        untrained=untrained,
    )


def _fold_score(tested: TestedFold, recipe: Recipe) -> FoldScore:
    draws = {"resamples": recipe.evaluation.resamples, "seed": recipe.seed}
    measures = BriefMeasures(tested.films)
    values = bootstrap(measures, tested.films.patients, **draws)
    return FoldScore(
        withheld=tested.fold.withheld,
        train_films=tested.fold.train_films,
        test_films=tested.fold.test_films,
        best_epoch=tested.best_epoch,
        seconds=round(tested.seconds, 1),
        metrics={name: estimate(values[OVERALL, name], measures.bases[OVERALL, name]) for name in _METRICS},
        trust=measure_trust(
            tested.films, tested.sets, tested.decided, error=recipe.evaluation.conformal_error, **draws
        ),
    )


def _write_table(path: Path, report: Crossval) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["what", "metric", "value", "low", "high", "reason"])
        for what, metric, found in _rows(report):
            table.writerow([what, metric, found.value, found.low, found.high, found.reason])


def _rows(report: Crossval) -> Iterator[tuple[str, str, Estimate]]:
    yield "worst source", "macro_auroc", report.worst_source_auroc
    yield "mean of sources", "macro_auroc", report.mean_source_auroc
    yield "all tests", "accuracy", report.accuracy
    yield from (("all tests", metric, found) for metric, found in _of_trust(report.trust))
    for source in report.sources:
        yield source.source, "macro_auroc", source.macro_auroc
    for pair in report.pairs:
        yield f"{pair.finding} of {pair.source} against Normal of {pair.normal_source}", "auroc", pair.auroc
    for fold in report.folds:
        for metric, found in (*fold.metrics.items(), *_of_trust(fold.trust)):
            yield f"films of {' and '.join(fold.withheld)} alone", metric, found
    for untrained in report.untrained:
        absent = Estimate(value=None, reason=untrained.reason)
        yield f"films of {' and '.join(untrained.withheld)} alone", "macro_auroc", absent


def _of_trust(trust: UnseenTrust) -> Iterator[tuple[str, Estimate]]:
    sets = trust.prediction_sets
    yield "coverage", sets.coverage
    for finding, covered in sets.per_class.items():
        yield f"coverage of {finding}", covered.coverage
    yield "findings in a set", sets.mean_size
    yield "refer_rate", trust.refer_rate
    yield "error of the decided", trust.error
    yield "ece of the decided", trust.ece
