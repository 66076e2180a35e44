"""Where a model comes from: drawn films or real ones, digests, versions, seed."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import pandas as pd

from cxr.contracts.bundle import Provenance
from cxr.contracts.recipe import Recipe
from cxr.domain import Split
from cxr.modeling.phantoms import is_phantom
from cxr.reporting.caveats import Caveat
from cxr.reporting.tables import Cell, Table

Drawn = Literal["none", "some", "all"]

_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "optuna", "captum", "onnx", "mlflow", "kfp")


def drawn_films(films: pd.DataFrame) -> Drawn:
    """How many of the test films of an index were drawn by the project itself; those of an unknown source were not."""
    drawn = [is_phantom(source) for source in _tested(films)["source"].fillna("")]
    return "none" if not any(drawn) else "all" if all(drawn) else "some"


def _tested(films: pd.DataFrame) -> pd.DataFrame:
    """Those that figures are of."""
    return films[films["label"].notna() & (films["split"] == str(Split.TEST))]


def phantom_caveat(films: pd.DataFrame) -> Caveat | None:
    """What figures on films of an index are worth where some or all of them are drawn; None where none is."""
    drawn = drawn_films(films)
    if drawn == "none":
        return None
    if drawn == "all":
        return Caveat(
            title="Phantoms, not patients",
            text="The films are drawn by the project itself: the figures show that the pipeline works, and no more.",
            serious=True,
        )
    names = sorted(source for source in _tested(films)["source"].dropna().unique() if is_phantom(source))
    return Caveat(
        title="Phantoms among patients",
        text=(
            f"The films of {', '.join(names)} are drawn by the project itself. Figures on all films are of both "
            "together and hold for no patients: read those of the other sources alone."
        ),
        serious=True,
    )


def provenance_table(provenance: Provenance, recipe: Recipe, *, bundle: str | None = None) -> Table:
    """Digests and seed of a model.

    Args:
        provenance: of the bundle.
        recipe: that made it.
        bundle: the bundle's own digest, where it is known.
    """
    rows: list[tuple[Cell, ...]] = [
        ("Created", provenance.created),
        ("cxr", provenance.cxr_version),
        ("Seed", str(recipe.seed)),
        ("Initial weights", provenance.initial_weights),
        ("Study index", provenance.index),
        ("Recipe", provenance.recipe),
        ("Checkpoint", provenance.checkpoint),
    ]
    if bundle is not None:
        rows.append(("Bundle", bundle))
    return Table(
        name="provenance",
        caption="Provenance",
        columns=("What", "Value"),
        rows=tuple(rows),
        note="Digests are SHA-256.",
    )


def software_table() -> Table:
    """Versions of what is installed where this is written."""
    rows: list[tuple[Cell, ...]] = [("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return Table(
        name="software", caption="Software that wrote this report", columns=("Package", "Version"), rows=tuple(rows)
    )
