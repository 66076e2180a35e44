"""Wall time of a search and the training that follows it, from films on disk to a checkpoint.

    python bench/search_time.py [--data phantom:25553] [--recipe default] [--set search.trials=15] [--device cuda]

Each step is what `cxr` runs; ingestion and the split are told beside the search and the training, since a data set is
ingested once. Nothing is kept: there is no state to resume from that would make a step look faster than it is.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import resolve_recipe
from cxr.contracts.studies import StudyIndex
from cxr.modeling.inference import choose_device
from cxr.steps.ingest import ingest
from cxr.steps.split import split
from cxr.steps.train import train
from cxr.steps.tune import tune


def main() -> None:
    """Run the steps and print what each took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", default="phantom:25553")
    arguments.add_argument("--recipe", default="default")
    arguments.add_argument("--set", action="append", default=[], help="a field of the recipe, as in `cxr recipe --set`")
    arguments.add_argument("--device", default=None)
    given = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe, device = resolve_recipe(given.recipe, given.set), choose_device(given.device)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        studies, parts, search, scratch = (root / name for name in ("studies", "split", "search", "scratch"))
        films = {"studies": studies, "split": parts}
        ingested = timed(lambda: ingest(data=given.data, out=studies, recipe=recipe))
        divided = timed(lambda: split(studies=studies, out=parts, recipe=recipe))
        searched = timed(lambda: tune(**films, recipe=recipe, out=search, scratch=scratch, device=given.device))
        best = read_json(search / RECIPE_FILE, Recipe)
        trained = timed(
            lambda: train(**films, recipe=best, out=root / "checkpoint", scratch=scratch, device=given.device)
        )
        count = len(StudyIndex.read(parts).films)
    print(f"{count} films, {best.model.architecture}, {best.preprocessing.size} px, {device.type}")
    for name, seconds in {
        "ingest": ingested,
        "split": divided,
        f"search, {recipe.search.trials} trials": searched,
        f"training, {best.schedule.epochs} epochs": trained,
        "search and training": searched + trained,
    }.items():
        print(f"{name:24} {seconds:9.1f} s")


def timed(step: Callable[[], object]) -> float:
    """Seconds that a step takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
