"""The folder that every search writes, wherever its trials ran."""

import csv
from pathlib import Path

from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.files import new_folder, write_json
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.search_report import SEARCH_FIGURE, SEARCH_FILE, TRIALS_FILE, SearchReport


def write_search(out: Path, recipe: Recipe, report: SearchReport) -> None:
    """Write the best recipe, all trials and their figure; whole or not at all."""
    from cxr.reporting.search_figures import draw_search

    with new_folder(out) as folder:
        write_json(folder / RECIPE_FILE, _best(recipe, report))
        write_json(folder / SEARCH_FILE, report)
        _write_table(folder / TRIALS_FILE, recipe, report)
        if report.trials:
            figure = folder / SEARCH_FIGURE
            figure.parent.mkdir()
            draw_search(report, recipe.search).savefig(figure)


def _best(recipe: Recipe, report: SearchReport) -> Recipe:
    return recipe if report.kept is None else with_values(recipe, report.kept.parameters)


def _write_table(path: Path, recipe: Recipe, report: SearchReport) -> None:
    names = [parameter.field for parameter in recipe.search.parameters]
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["number", "state", report.objective, "epochs", "seconds", *names, "reason"])
        for trial in report.trials:
            tried = [trial.parameters[name] for name in names]
            table.writerow(
                [trial.number, trial.state, trial.value, len(trial.curve), trial.seconds, *tried, trial.reason]
            )
