"""What each part of the recipe is worth on sources that a network never saw: the table of docs/performance.md.

    python bench/generalisation.py --data INDEX --set 'split.linked_sources=[]' [--rows 0,9]

Every row adds one thing to the row above and is measured by `cxr crossval`: sources are withheld, linked ones together
and those that lack a finding with one that has it, and films are scored by networks that never saw them. All rows but
the last have the same number of optimiser steps; in the first six the backbone sees the same number of pixels. The last
is the `cpu` recipe itself. The naive recipe is a small network, so that it costs what the others cost; DenseNet-121
from random weights takes several times as long. Killed and started again with the same `--scratch`, it goes on.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxr.contracts.crossval import Crossval, PairScore
from cxr.contracts.files import value_digest
from cxr.contracts.metrics import Estimate
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Augmentation, Recipe
from cxr.contracts.resolve import resolve_recipe
from cxr.contracts.studies import StudyIndex
from cxr.steps.crossval import crossval
from cxr.steps.ingest import ingest
from cxr.steps.split import split

Values = Mapping[str, float | int | str | bool]

_AUGMENTATION = Augmentation()
_STILL: Values = {f"augmentation.{name}": 0.0 for name in Augmentation.__struct_fields__}


def rows(side: int) -> dict[str, Values]:
    """Name of each row to what it changes of the row above; the first changes the recipe of the profile."""
    larger = side * 4 // 3
    return {
        "naive: ResNet-18 from random weights, focal loss, flips": {
            **_STILL,
            "model.architecture": "resnet18",
            "model.weights": "none",
            "optimiser.learning_rate": 1e-3,
            "augmentation.flip": 0.5,
            "preprocessing.size": side,
            "model.lung_frame": 0,
            "sampling.balance": "films",
            "sampling.phantoms": 0,
            "loss.kind": "focal",
            "loss.label_smoothing": 0.0,
            "schedule.refit_head": False,
            "evaluation.unseen_share": 0.0,
        },
        "+ EfficientNet-Lite0 from ImageNet weights": {
            "model.architecture": "efficientnet_lite0",
            "model.weights": "imagenet",
            "optimiser.learning_rate": 5e-4,
        },
        "+ augmentation": {
            f"augmentation.{name}": getattr(_AUGMENTATION, name)
            for name in Augmentation.__struct_fields__
            if name != "flip"
        },
        "+ lung frame": framed(side),
        "+ balanced sources, smoothed cross-entropy": {
            "sampling.balance": "sources",
            "loss.kind": "cross_entropy",
            "loss.label_smoothing": 0.1,
        },
        "+ phantoms": {"sampling.phantoms": 1500},
        f"+ {larger} px": framed(larger),
        "+ head fitted again": {"schedule.refit_head": True},
        "+ calibrated for unseen sources": {"evaluation.unseen_share": 0.5},
        "+ 12 epochs": {"schedule.epochs": 12, "schedule.patience": 12},
    }


def framed(side: int) -> Values:
    """A frame of so many pixels around the lungs, cut out of films half as large again, as `cpu` has it."""
    return {"preprocessing.size": side * 3 // 2, "model.lung_frame": side}


def fewer(folder: Path, most: int, seed: int) -> None:
    """Keep at most so many films of each source and finding of an index, whole groups of them in a random order."""
    index = StudyIndex.read(folder)
    films = index.films
    order = pd.Series(films["group_id"].unique()).sample(frac=1, random_state=seed).reset_index(drop=True)
    place = films["group_id"].map(pd.Series(order.index, index=order))
    kept = films.assign(place=place).sort_values("place").groupby(["source", "label"]).head(most).index
    StudyIndex(films.loc[kept.sort_values()]).write(folder)


def told(estimate: Estimate) -> str:
    """A value with its interval."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def short(estimate: Estimate) -> str:
    """A value without its interval, which crossval.json has."""
    return "–" if estimate.value is None else f"{estimate.value:.3f}"


def mean_of(pairs: tuple[PairScore, ...], finding: str) -> str:
    """Mean AUROC of a finding against Normal over the pairs of sources."""
    values = [pair.auroc.value for pair in pairs if pair.finding == finding and pair.auroc.value is not None]
    return f"{sum(values) / len(values):.3f}" if values else "–"


def line(name: str, report: Crossval) -> str:
    """A row of the table."""
    cells = [
        name,
        told(report.mean_source_auroc),
        told(report.worst_source_auroc),
        mean_of(report.pairs, "Tuberculosis"),
        mean_of(report.pairs, "Pneumonia"),
        short(report.trust.prediction_sets.coverage),
        short(report.trust.refer_rate),
        short(report.trust.error),
        short(report.trust.ece),
        f"{sum(fold.seconds for fold in report.folds) / 60:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure every row and print the table as Markdown."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--recipe", default="cpu")
    arguments.add_argument("--films", type=int, default=None, help="most films of each source and finding, or all")
    arguments.add_argument("--epochs", type=int, default=5, help="of all rows but the last")
    arguments.add_argument("--rows", default="", help="numbers of the rows to measure, 0,9 for the first and the last")
    arguments.add_argument("--set", action="append", default=[], help="a field of all rows, as in `cxr recipe --set`")
    arguments.add_argument(
        "--side", type=int, default=120, help="pixels that the backbone sees, a third more at the end"
    )
    arguments.add_argument("--scratch", type=Path, default=None)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = given.scratch or Path(temporary)
        shared: Values = {"schedule.epochs": given.epochs, "schedule.patience": given.epochs}
        recipe = with_values(resolve_recipe(given.recipe, given.set), shared)
        chosen = {int(number) for number in given.rows.split(",") if number}
        asked = [given.data, given.films, recipe.seed, *map(value_digest, (recipe.preprocessing, recipe.split))]
        scratch /= hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]  # films of other arguments are others
        studies, parts = scratch / "studies", scratch / "split"
        if not parts.exists():
            ingest(data=given.data, out=studies, recipe=recipe)
            if given.films is not None:
                fewer(studies, given.films, recipe.seed)
            split(studies=studies, out=parts, recipe=recipe)
        measure(recipe, studies=studies, parts=parts, scratch=scratch, side=given.side, chosen=chosen)


def measure(recipe: Recipe, *, studies: Path, parts: Path, scratch: Path, side: int, chosen: set[int]) -> None:
    """Print the table row by row; the chosen rows, or all of them when none is."""
    print(
        "| recipe | mean of sources | worst source | TB v. normal | pneumonia v. normal "
        "| covered | referred | wrong, decided | ECE, decided | min |"
    )
    print("|" + "---|" * 10)
    for number, (name, values) in enumerate(rows(side).items()):
        recipe = with_values(recipe, values)
        if chosen and number not in chosen:
            continue
        out = scratch / f"crossval-{number}"
        report = crossval(studies=studies, split=parts, recipe=recipe, out=out, scratch=scratch / "state")
        print(line(name, report), flush=True)


if __name__ == "__main__":
    main()
