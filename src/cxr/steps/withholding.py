"""Training without a source and testing on it: what cross-validation over sources and its search have in common."""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from cxr.contracts.arrays import read_arrays, write_arrays
from cxr.contracts.crossval import UntrainedFold
from cxr.contracts.files import read_json
from cxr.contracts.metrics import PredictionSetLimits
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe, SplitRecipe
from cxr.contracts.split import FOLDS_FILE, Fold, Folds
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.errors import ContractError, SplitError, TrainingError
from cxr.evaluation.arrays import Mask
from cxr.evaluation.calibration import LabelledLogits
from cxr.evaluation.conformal import prediction_sets
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import fit_calibration
from cxr.evaluation.unseen import UnseenFilms
from cxr.modeling.dataset import FilmArray
from cxr.modeling.fit import fit
from cxr.modeling.inference import infer
from cxr.modeling.phantoms import phantoms_beside
from cxr.modeling.refit import read_unseen
from cxr.steps.split.folds import in_fold, withheld_together

logger = logging.getLogger(__name__)

_STEP = "cxr crossval"


@dataclass(frozen=True, eq=False, kw_only=True)
class TestedFold:
    """A fold's network on the films that were withheld from it.

    Attributes:
        films: the n withheld films, with the temperature of the fold's validation films, whose sources the network
            knows; so are the sets and the referrals.
        sources: [n], by name.
        sets: [n, c], whether each finding is in the prediction set of each film.
        decided: [n], the others are referred.
        origin: initial weights, as in `History`.
    """

    fold: Fold
    films: ScoredFilms
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    sets: Mask
    decided: Mask
    origin: str
    best_epoch: int
    seconds: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """What all folds have in common.

    Attributes:
        index: of all films, those of `films` among them.
        films: labelled.
        state: folder where finished folds and the state of training are kept; nothing is kept when None.
        weights: file of initial weights instead of ImageNet's.
    """

    recipe: Recipe
    index: StudyIndex
    films: FilmArray
    device: torch.device
    state: Path | None
    weights: Path | None


def read_folds(split: Path, recipe: SplitRecipe) -> tuple[StudyIndex, tuple[Fold, ...]]:
    """The index of a split, and its folds that leave sources out.

    Raises:
        ContractError: a file is missing or malformed.
        SplitError: there are fewer than two sources, or the folds are those of another index or of other linked sources
            than the recipe's.
    """
    index = StudyIndex.read(split)
    folds = read_json(split / FOLDS_FILE, Folds)
    if folds.index != index.digest:
        raise SplitError(f"the folds in {split} must be those of the index beside them; run `cxr split` again")
    if not folds.folds:
        raise SplitError(
            "leaving one source out needs films of at least two sources that share no patients; "
            "name the sources in the data, or add another one"
        )
    if tuple(fold.withheld for fold in folds.folds) != withheld_together(index, recipe.linked_sources):
        raise SplitError(
            f"the folds in {split} must withhold together what split.linked_sources of the recipe links, withhold "
            "other sources; run `cxr split` again with this recipe"
        )
    return index, folds.folds


def that_can_be_trained(folds: Sequence[Fold], films: StudyIndex) -> tuple[tuple[Fold, ...], tuple[UntrainedFold, ...]]:
    """The folds whose training and validation films, of these films, hold every finding; and the others.

    Raises:
        SplitError: there is none of the first.
    """
    lacks = [_lacks(films, fold) for fold in folds]
    untrained = tuple(
        UntrainedFold(withheld=fold.withheld, reason=reason)
        for fold, reason in zip(folds, lacks, strict=True)
        if reason
    )
    for fold in untrained:
        logger.warning("no network is trained without %s: %s", " and ".join(fold.withheld), fold.reason)
    if len(untrained) == len(folds):
        raise SplitError(
            "whatever is withheld, every finding must still occur among the films that are left; without "
            f"{' and '.join(untrained[0].withheld)} {untrained[0].reason}, and no other fold is better; add a source "
            "that has it"
        )
    return tuple(fold for fold, reason in zip(folds, lacks, strict=True) if not reason), untrained


def _lacks(index: StudyIndex, fold: Fold) -> str:
    """What keeps a network from being trained for a fold; nothing where it can be."""
    films = in_fold(index, fold).films
    for part in (Split.TRAIN, Split.VALIDATION):
        present = set(films["label"][films["split"] == part])
        if missing := [name for name in TAXONOMY if name not in present]:
            why = "of patients of both sides, like a film of the other, or of no source"
            left_out = f" ({len(fold.excluded):,} films are left out: {why})" if fold.excluded else ""
            return f"the {part} films have no {' and no '.join(missing)}{left_out}"
    return ""


def labelled(index: StudyIndex) -> StudyIndex:
    """The films that have a label."""
    return StudyIndex(index.films[index.films["label"].notna()])


def tested(bench: Bench, fold: Fold) -> TestedFold:
    """Train a fold's network and test it on what was withheld, or read what an earlier call has found."""
    place = _placed(bench, fold)
    known, test = (bench.films.take(place == str(part)) for part in (Split.VALIDATION, Split.TEST))
    kept = None if bench.state is None else bench.state / f"{_state_name(fold)}.npz"
    found = None if kept is None else _kept(kept)
    if found is None:
        train = bench.films.take(place == str(Split.TRAIN))
        found = _train_and_test(bench, fold, train=train, validation=known, test=test)
        if kept is not None:
            write_arrays(kept, found)
            shutil.rmtree(kept.with_suffix(""), ignore_errors=True)
    unseen = LabelledLogits(found["unseen"], found["unseen_labels"]) if "unseen" in found else None
    findings = tuple(TAXONOMY)
    calibration = fit_calibration(
        found["validation"],
        known.labels,
        _groups(known),
        findings=findings,
        recipe=bench.recipe.evaluation,
        unseen=unseen,
    )
    films = ScoredFilms.from_logits(
        found["logits"], test.labels, _groups(test), temperature=calibration.temperature, findings=findings
    )
    limits = cast(PredictionSetLimits, calibration.prediction_sets)  # null in bundles of version 1 alone
    return TestedFold(
        fold=fold,
        films=films,
        groups=_groups(test),
        sources=tuple(test.index.films["source"].astype(str)),
        sets=prediction_sets(films.probabilities, limits, films.findings),
        decided=films.probabilities.max(axis=1) >= calibration.refer_below,
        origin=str(found["origin"]),
        best_epoch=int(found["best_epoch"]),
        seconds=float(found["seconds"]),
    )


def _state_name(fold: Fold) -> str:
    """Names a fold's state. What sources are called is the data's affair and may be no name of a file."""
    return hashlib.sha256("\0".join(fold.withheld).encode()).hexdigest()[:24]


def _kept(path: Path) -> dict[str, Any] | None:
    """What an earlier call has found, or None: a file that cannot be read is as good as none."""
    if not path.exists():
        return None
    try:
        return read_arrays(path, step=_STEP)
    except ContractError as error:
        logger.warning("a fold is trained again: %s", error)
        return None


def unseen_films(folds: Sequence[TestedFold]) -> UnseenFilms:
    """The withheld films of all folds; a patient of several folds is one."""
    patients = np.unique([group for fold in folds for group in fold.groups], return_inverse=True)[1]
    films = ScoredFilms(
        np.concatenate([fold.films.labels for fold in folds]),
        np.concatenate([fold.films.probabilities for fold in folds]),
        patients.astype(np.int64),
        tuple(TAXONOMY),
    )
    numbers = np.concatenate([np.full(len(fold.films), number) for number, fold in enumerate(folds)])
    return UnseenFilms(films, [source for fold in folds for source in fold.sources], numbers)


def _placed(bench: Bench, fold: Fold) -> Any:
    """The part of the fold that each film belongs to, [n]."""
    divided = in_fold(bench.index, fold).films.set_index("image_id")["split"]
    return divided.loc[bench.films.index.films["image_id"]].fillna("").to_numpy(dtype=str)


def _groups(films: FilmArray) -> tuple[str, ...]:
    return tuple(films.index.films["group_id"].astype(str))


def _with_phantoms_of(bench: Bench) -> Recipe:
    """The recipe with as many phantoms as its model learns: films that a fold withholds may be phantoms, too."""
    beside = phantoms_beside(bench.recipe.sampling, bench.films.sources)
    return with_values(bench.recipe, {"sampling.phantoms": beside})


def _train_and_test(
    bench: Bench, fold: Fold, *, train: FilmArray, validation: FilmArray, test: FilmArray
) -> dict[str, Any]:
    """Logits of the withheld films and of the validation films, and how the training went."""
    withheld = " and ".join(fold.withheld)
    if not len(test):
        raise TrainingError(f"no film of {withheld} was drawn to test on; raise search.films, or set it to 0 for all")
    logger.info("withholding %s", withheld)
    fitted = fit(
        recipe=_with_phantoms_of(bench),
        train=train,
        validation=validation,
        device=bench.device,
        scratch=None if bench.state is None else bench.state / _state_name(fold),
        weights=bench.weights,
    )
    unseen = {}
    # what is kept serves other shares, which change no weight
    if bench.recipe.schedule.refit_head and (bench.state is not None or bench.recipe.evaluation.unseen_share):
        reading = read_unseen(fitted.network, bench.recipe, train, validation)
        unseen = {"unseen": reading.logits, "unseen_labels": reading.labels}
    return {
        **unseen,
        "logits": infer(fitted.network, test.films, device=bench.device).logits,
        "validation": infer(fitted.network, validation.films, device=bench.device).logits,
        "origin": np.array(fitted.history.initial_weights),
        "best_epoch": np.int64(fitted.history.best_epoch),
        "seconds": np.float64(fitted.history.seconds),
    }
