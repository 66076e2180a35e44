"""Crossval: withhold every source once, and measure the recipe on films from sources that its networks never saw."""

import csv
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxr.contracts.arrays import read_arrays, write_arrays
from cxr.contracts.crossval import CROSSVAL_FILE, CROSSVAL_TABLE, Crossval, FoldScore
from cxr.contracts.files import new_folder, read_json, value_digest, write_json
from cxr.contracts.metrics import Estimate
from cxr.contracts.recipe import Recipe
from cxr.contracts.split import FOLDS_FILE, Fold, Folds
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.errors import SplitError
from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.unseen import UnseenFilms, score_unseen
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.fit import fit
from cxr.modeling.inference import choose_device, infer
from cxr.progress import progress
from cxr.steps.resuming import check_weights, state_key
from cxr.steps.split.folds import in_fold

logger = logging.getLogger(__name__)

_STEP = "cxr crossval"
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
    """Train a network for every fold that leaves one source out, and measure all of them on what they never saw.

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
        SplitError: there are fewer than two sources, or the folds are those of another index.
        TrainingError: the sources left of a fold lack a finding, the weights are missing or training diverged.
    """
    index, folds = _folds(split)
    check_weights(weights)
    bench = _Bench(
        recipe=recipe,
        index=index,
        films=load_films(studies, _labelled(index), recipe.preprocessing, scratch=scratch),
        device=choose_device(device),
        state=scratch / f"crossval-{state_key(recipe, index, weights)}",
        weights=weights,
    )
    tested = []
    with progress("folds", len(folds)) as advance:
        for fold in folds:
            tested.append(_tested(bench, fold))
            advance(1)
    report = summarise(tested, recipe=recipe, index=index.digest)
    with new_folder(out) as folder:
        write_json(folder / CROSSVAL_FILE, report)
        _write_table(folder / CROSSVAL_TABLE, report)
    return report


@dataclass(frozen=True, eq=False, kw_only=True)
class TestedFold:
    """A fold's network on the films that were withheld from it.

    Attributes:
        films: the withheld films, whose sources are `sources` [n].
    """

    fold: Fold
    films: ScoredFilms
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    best_epoch: int
    seconds: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Bench:
    """What all folds have in common."""

    recipe: Recipe
    index: StudyIndex
    films: FilmArray
    device: torch.device
    state: Path
    weights: Path | None


def _folds(split: Path) -> tuple[StudyIndex, tuple[Fold, ...]]:
    index = StudyIndex.read(split)
    folds = read_json(split / FOLDS_FILE, Folds)
    if folds.index != index.digest:
        raise SplitError(f"the folds in {split} must be those of the index beside them; run `cxr split` again")
    if not folds.folds:
        raise SplitError(
            "leaving one source out needs films of at least two sources that share no patients; "
            "name the sources in the data, or add another one"
        )
    return index, folds.folds


def _labelled(index: StudyIndex) -> StudyIndex:
    return StudyIndex(index.films[index.films["label"].notna()])


def _tested(bench: _Bench, fold: Fold) -> TestedFold:
    """Train and test one fold, or read what an earlier call has found."""
    films, place = _placed(bench, fold)
    kept = bench.state / f"{'+'.join(fold.withheld)}.npz"
    test = films.take(np.flatnonzero(place == str(Split.TEST)))
    if not kept.exists():
        write_arrays(kept, _train_and_test(bench, fold, films, place, test))
        shutil.rmtree(_training(bench, fold), ignore_errors=True)
    found = read_arrays(kept, step=_STEP)
    frame = test.index.films
    groups = tuple(frame["group_id"].astype(str))
    return TestedFold(
        fold=fold,
        films=ScoredFilms.from_logits(found["logits"], test.labels, groups, temperature=1.0, findings=tuple(TAXONOMY)),
        groups=groups,
        sources=tuple(frame["source"].astype(str)),
        best_epoch=int(found["best_epoch"]),
        seconds=float(found["seconds"]),
    )


def _placed(bench: _Bench, fold: Fold) -> tuple[FilmArray, Any]:
    """All labelled films, and the part of the fold that each belongs to."""
    divided = in_fold(bench.index, fold).films.set_index("image_id")["split"]
    place = divided.loc[bench.films.index.films["image_id"]].fillna("").to_numpy(dtype=str)
    return bench.films, place


def _train_and_test(bench: _Bench, fold: Fold, films: FilmArray, place: Any, test: FilmArray) -> dict[str, Any]:
    logger.info("withholding %s", " and ".join(fold.withheld))
    fitted = fit(
        recipe=bench.recipe,
        train=films.take(np.flatnonzero(place == str(Split.TRAIN))),
        validation=films.take(np.flatnonzero(place == str(Split.VALIDATION))),
        device=bench.device,
        scratch=_training(bench, fold),
        weights=bench.weights,
    )
    return {
        "logits": infer(fitted.network, test.films, device=bench.device).logits,
        "best_epoch": np.int64(fitted.history.best_epoch),
        "seconds": np.float64(sum(epoch.seconds for epoch in fitted.history.epochs)),
    }


def _training(bench: _Bench, fold: Fold) -> Path:
    return bench.state / f"training-{'+'.join(fold.withheld)}"


def summarise(tested: list[TestedFold], *, recipe: Recipe, index: str) -> Crossval:
    """The report of tested folds."""
    unseen = UnseenFilms(
        ScoredFilms(
            np.concatenate([fold.films.labels for fold in tested]),
            np.concatenate([fold.films.probabilities for fold in tested]),
            np.unique([group for fold in tested for group in fold.groups], return_inverse=True)[1].astype(np.int64),
            tuple(TAXONOMY),
        ),
        [source for fold in tested for source in fold.sources],
    )
    scores = score_unseen(unseen, resamples=recipe.evaluation.resamples, seed=recipe.seed)
    return Crossval(
        index=index,
        recipe=value_digest(recipe),
        seed=recipe.seed,
        folds=tuple(_fold_score(fold, recipe) for fold in tested),
        sources=scores.sources,
        pairs=scores.pairs,
        worst_source_auroc=scores.worst,
        mean_source_auroc=scores.mean,
        pooled=scores.pooled,
    )


def _fold_score(tested: TestedFold, recipe: Recipe) -> FoldScore:
    measures = BriefMeasures(tested.films)
    values = bootstrap(measures, tested.films.patients, resamples=recipe.evaluation.resamples, seed=recipe.seed)
    return FoldScore(
        withheld=tested.fold.withheld,
        train_films=tested.fold.train_films,
        test_films=tested.fold.test_films,
        best_epoch=tested.best_epoch,
        seconds=round(tested.seconds, 1),
        metrics={name: estimate(values[OVERALL, name], measures.bases[OVERALL, name]) for name in _METRICS},
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
    for metric, found in report.pooled.items():
        yield "all films", metric, found
    for source in report.sources:
        yield source.source, "macro_auroc", source.macro_auroc
    for pair in report.pairs:
        yield f"{pair.finding} of {pair.source} against Normal of {pair.normal_source}", "auroc", pair.auroc
    for fold in report.folds:
        for metric, found in fold.metrics.items():
            yield f"films of {' and '.join(fold.withheld)} alone", metric, found
