"""The table of recipes is about the recipe that is taken."""

import runpy
from pathlib import Path

from cxr.contracts.overlay import value_of, with_values
from cxr.contracts.resolve import resolve_recipe

BENCH = Path(__file__).parents[1] / "bench" / "generalisation.py"


def test_the_last_row_of_the_table_is_the_cpu_recipe() -> None:
    cpu = resolve_recipe("cpu")
    recipe = with_values(cpu, {"schedule.epochs": 5, "schedule.patience": 5})
    rows = runpy.run_path(str(BENCH))["rows"](120)
    for values in rows.values():
        assert any(value_of(recipe, name) != value for name, value in values.items()), "a row that changes nothing"
        recipe = with_values(recipe, values)
    assert recipe == cpu
