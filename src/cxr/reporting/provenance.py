"""Where a model comes from: digests, versions, seed."""

import platform
from importlib.metadata import PackageNotFoundError, version

from cxr.contracts.bundle import Provenance
from cxr.contracts.recipe import Recipe
from cxr.reporting.tables import Cell, Table

PHANTOM_PREFIX = "phantom_"
_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "optuna", "captum", "onnx", "mlflow", "kfp")


def is_phantom(sources: tuple[str, ...]) -> bool:
    """Whether the films were drawn by the project itself, so that no figure says anything about patients."""
    return any(source.startswith(PHANTOM_PREFIX) for source in sources)


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
