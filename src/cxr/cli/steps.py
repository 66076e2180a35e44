"""The steps of the pipeline, each on the folders of a run."""

from pathlib import Path
from typing import Any

import click
import msgspec

from cxr.cli.options import (
    PATH,
    device,
    experiment,
    may_be_written,
    say,
    scratch,
    step_folders,
    tracking,
    weights,
    with_cluster,
    with_recipe,
)
from cxr.contracts.recipe import Recipe


@click.command()
@with_recipe("default")
@click.option("--out", type=PATH, help="Write it there as JSON instead.")
def recipe(recipe: Recipe, out: Path | None) -> None:
    """Print a recipe in full, as YAML, with every change applied."""
    from cxr.contracts.files import write_json
    from cxr.contracts.resolve import recipe_yaml

    if out is not None:
        write_json(out, recipe)
        return
    click.echo(recipe_yaml(recipe), nl=False)


@click.command()
@click.argument("data")
@click.option("--out", type=PATH, default=Path("studies"), show_default=True, help="Folder to write.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; all cores by default.")
@with_recipe("default")
def ingest(data: str, out: Path, workers: int | None, recipe: Recipe) -> None:
    """Read DATA, validate, de-identify, remove duplicates, and write the studies.

    DATA is a folder CLASS/FILES, a CSV or Parquet index, one picture, phantom:N, kaggle:OWNER/SET or s3://BUCKET/PREFIX.
    """
    from cxr.steps.ingest import ingest as step

    may_be_written(out, "studies", data)
    say(step(data=data, out=out, recipe=recipe, workers=workers))
    rejected = (out / "rejected.csv").read_text(encoding="utf-8")
    if rejected.count("\n") > 1:
        click.echo(rejected, err=True, nl=False)


@click.command()
@step_folders("studies", writes="split")
@with_recipe("default")
def split(**given: Any) -> msgspec.Struct:
    """Split the studies by patient, stratified by class and source."""
    from cxr.steps.split import split as step

    return step(**given)


@click.command()
@step_folders("studies", "split", writes="search")
@with_recipe("default")
@scratch
@weights
@tracking
@experiment
@device
@click.option("--engine", type=click.Choice(["embedded", "katib"]), default="embedded", show_default=True,
              help="Trials on this machine, or each in a pod of a cluster.")  # fmt: skip
@with_cluster
def tune(**given: Any) -> msgspec.Struct:
    """Search the recipe's search space, on this machine or with Katib in a cluster."""
    from cxr.steps.tune import tune as step

    return step(**given)


@click.command()
@step_folders("studies", "split", writes="checkpoint")
@with_recipe(None)
@scratch
@weights
@device
@click.option("--mode", type=click.Choice(["pod", "trainjob"]), default="pod", show_default=True,
              help="On all GPUs of this machine, or on the nodes of a TrainJob.")  # fmt: skip
@with_cluster
def train(**given: Any) -> msgspec.Struct:
    """Train the recipe's network; run again after a kill to go on."""
    from cxr.steps.train import train as step

    return step(**given)


@click.command()
@step_folders("studies", "split", writes="crossval")
@with_recipe(None)
@scratch
@weights
@device
@click.option("--leave-one-source-out", is_flag=True, required=True, help="Every fold withholds a source.")
def crossval(leave_one_source_out: bool, **given: Any) -> msgspec.Struct:
    """Train once for every source left out, and measure on films from sources never seen."""
    from cxr.steps.crossval import crossval as step

    return step(**given)


@click.command()
@step_folders("studies", "split", "checkpoint", writes="evaluation")
@click.option("--bundle", type=PATH, help="Evaluate this bundle on --data instead of the run's checkpoint.")
@click.option("--data", help="With --bundle: any source of films; all of them are test films.  [writes: ./evaluation]")
def evaluate(bundle: Path | None, data: str | None, **given: Path) -> msgspec.Struct:
    """Evaluate the checkpoint on its test split, or a bundle on new data."""
    if (bundle is None) != (data is None):
        raise click.UsageError("--bundle and --data go together: a bundle, and the films to evaluate it on")
    from cxr.steps.evaluate import evaluate as step
    from cxr.steps.evaluate import evaluate_bundle

    if bundle is not None and data is not None:
        return evaluate_bundle(bundle=bundle, data=data, out=given["out"])
    return step(**given)


@click.command()
@step_folders("studies", "split", "checkpoint", "evaluation", writes="robustness")
def robustness(**given: Path) -> msgspec.Struct:
    """Measure accuracy and AUROC under graded corruptions of the test films."""
    from cxr.steps.robustness import robustness as step

    return step(**given)


@click.command()
@step_folders("studies", "split", "checkpoint", "evaluation", writes="explanation")
def explain(**given: Path) -> msgspec.Struct:
    """Draw activation maps and score them against lesion masks."""
    from cxr.steps.explain import explain as step

    return step(**given)


@click.command("audit-shortcuts")
@step_folders("studies", "split", "checkpoint", "evaluation", writes="audit")
def audit_shortcuts(**given: Path) -> msgspec.Struct:
    """Ask whether the model decides by the source of a film, by what lies outside of the lungs or by marks on it."""
    from cxr.steps.audit_shortcuts import audit_shortcuts as step

    return step(**given)


@click.command("fit-drift")
@step_folders("studies", "split", "checkpoint", writes="drift")
def fit_drift(**given: Path) -> msgspec.Struct:
    """Fit the reference that live films are compared with."""
    from cxr.steps.fit_drift import fit_drift as step

    return step(**given)


@click.command("fit-gate")
@step_folders("studies", "split", "checkpoint", writes="gate")
def fit_gate(**given: Path) -> msgspec.Struct:
    """Fit the gate that refuses what is no upright frontal chest film."""
    from cxr.steps.fit_gate import fit_gate as step

    return step(**given)


@click.command()
@step_folders(
    "studies",
    "split",
    "checkpoint",
    "evaluation",
    "robustness",
    "explanation",
    "drift",
    "gate",
    "audit",
    writes="bundle",
)
@click.option("--crossval", type=PATH, help="Of the same recipe and split, for card and report.")
def package(**given: Any) -> msgspec.Struct:
    """Export the network and pack the bundle that is served."""
    from cxr.steps.package import package as step

    return step(**given)


@click.command()
@step_folders("studies", "split", "bundle", "evaluation", "search", writes="registration")
@tracking
@click.option("--model-name", default="cxr", show_default=True)
@experiment
def register(**given: Any) -> msgspec.Struct:
    """Register the bundle as challenger and put it through the promotion gate."""
    from cxr.steps.register import register as step

    return step(**given)


@click.command()
@step_folders("registration", writes="promotion")
@tracking
def promote(**given: Any) -> msgspec.Struct:
    """Make the registered bundle champion, if its gate says so."""
    from cxr.steps.register import promote as step

    return step(**given)


@click.command()
@step_folders("studies", "split", "search", "checkpoint", "evaluation", "robustness", "explanation", "bundle",
              "registration", writes="report")  # fmt: skip
def report(**given: Path) -> None:
    """Write report.html and TECHNICAL_REPORT.md from what the steps wrote."""
    from cxr.steps.report import report as step

    step(**given)


COMMANDS = (
    recipe,
    ingest,
    split,
    tune,
    train,
    crossval,
    evaluate,
    robustness,
    explain,
    audit_shortcuts,
    fit_drift,
    fit_gate,
    package,
    register,
    promote,
    report,
)
