"""Component: from any source of films to the studies that every later step reads."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(data: str, data_version: str, recipe: str, studies: Output[Dataset], dataset_report: Output[HTML]) -> None:
    """Read, validate and de-identify films, and remove duplicates.

    Args:
        data: Where the films are: a folder, an index, phantom[:N], kaggle:OWNER/SET or s3://BUCKET/PREFIX.
        data_version: Any text that changes when the films behind `data` do, so that a cached result is not reused.
        recipe: A recipe's name, or YAML or JSON text.
        studies: The study index, and the films as 8-bit PNG.
        dataset_report: Counts, intensities, duplicates and a sample sheet.
    """
    import shutil
    from pathlib import Path

    from cxr.contracts.resolve import resolve_recipe
    from cxr.steps.ingest import ingest

    ingest(data=data, out=Path(studies.path), recipe=resolve_recipe(recipe))
    shutil.copyfile(Path(studies.path) / "dataset.html", dataset_report.path)
