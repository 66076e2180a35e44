"""Component: the report of a run."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    studies: Input[Dataset],
    split: Input[Dataset],
    search: Input[Artifact],
    checkpoint: Input[Model],
    evaluation: Input[Artifact],
    robustness: Input[Artifact],
    explanation: Input[Artifact],
    bundle: Input[Model],
    registration: Input[Artifact],
    report: Output[Artifact],
    page: Output[HTML],
    summary: Output[Markdown],
) -> None:
    """Write the report of the run.

    Args:
        studies: From ingest.
        split: From split.
        search: From tune.
        checkpoint: From train.
        evaluation: From evaluate.
        robustness: From robustness.
        explanation: From explain.
        bundle: From package.
        registration: From register.
        report: The report with its figures and numbers.
        page: The report as one self-contained page.
        summary: The same numbers as a technical report.
    """
    import shutil
    from pathlib import Path

    from cxr.steps import report as step

    step.report(
        studies=Path(studies.path),
        split=Path(split.path),
        search=Path(search.path),
        checkpoint=Path(checkpoint.path),
        evaluation=Path(evaluation.path),
        robustness=Path(robustness.path),
        explanation=Path(explanation.path),
        bundle=Path(bundle.path),
        registration=Path(registration.path),
        out=Path(report.path),
    )
    shutil.copyfile(Path(report.path) / "report.html", page.path)
    shutil.copyfile(Path(report.path) / "TECHNICAL_REPORT.md", summary.path)
