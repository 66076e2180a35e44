"""The training pipeline: from films to a registered, explained, servable bundle.

Caching: every task whose output follows from its inputs is cached (Kubeflow's default), so that a run that failed in
`explain` starts there again. `register` and `promote` change the registry, which is no file: they always run, and
registering a bundle again gives the version that it already has. Films behind an address may change while the address
stays; another `data_version` makes `ingest` read them again.

Retries: `ingest`, `tune` and `train` read from a network or hold a node for long, so that losing either is likely;
what they have done so far is in `scratch` (or is cheap), so that a retry goes on instead of starting over. `register`
and `promote` talk to a server that may be restarting. The other tasks compute: if they fail once they fail again, and
a retry would only hide it.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Model

import components
from pipelines.placement import SCRATCH, set_gpu, set_resources, set_retries, set_scratch


class Outputs(NamedTuple):
    """The folders that a run leaves behind."""

    studies: Dataset
    split: Dataset
    search: Artifact
    checkpoint: Model
    evaluation: Artifact
    robustness: Artifact
    explanation: Artifact
    drift: Artifact
    gate: Artifact
    bundle: Model
    registration: Artifact
    report: Artifact


@dsl.pipeline(name="training", description="From films to a registered, explained, servable bundle.")
def training(
    data: str,
    recipe: str = "default",
    data_version: str = "",
    scratch: str = SCRATCH,
    scratch_claim: str = "cxr-scratch",
    weights: str = "",
    tracking_uri: str = "http://mlflow.mlflow.svc.cluster.local:5000",
    experiment: str = "cxr",
    model_name: str = "cxr",
    promote: bool = False,
) -> Outputs:
    """Train, evaluate, explain, package and register a chest X-ray classifier.

    Args:
        data: Where the films are: a folder, an index, phantom[:N], kaggle:OWNER/SET or s3://BUCKET/PREFIX.
        recipe: A recipe's name, or YAML or JSON text.
        data_version: Any text that changes when the films behind `data` do.
        scratch: Folder that outlives a task; in a cluster, where the volume is mounted or a folder below it.
        scratch_claim: Name of the persistent volume claim that is mounted there.
        weights: File of initial weights, e.g. on the scratch volume; empty for those that the recipe names.
        tracking_uri: MLflow server with a model registry.
        experiment: MLflow experiment of the trials and of the run.
        model_name: Name of the registered model.
        promote: Make the model champion if the gate lets it pass.
    """
    tracking = {"tracking_uri": tracking_uri, "experiment": experiment}
    initial = {"scratch": scratch, "weights": weights}

    ingest = components.ingest(data=data, data_version=data_version, recipe=recipe)
    studies = ingest.outputs["studies"]
    split = components.split(studies=studies, recipe=recipe)
    films = {"studies": studies, "split": split.outputs["split"]}
    tune = components.tune(recipe=recipe, **films, **initial, **tracking)
    search = tune.outputs["search"]
    train = components.train(search=search, **films, **initial)
    model = {**films, "checkpoint": train.outputs["checkpoint"]}

    evaluate = components.evaluate(**model)
    evaluation = evaluate.outputs["evaluation"]
    robustness = components.robustness(evaluation=evaluation, **model)
    explain = components.explain(evaluation=evaluation, **model)
    fit_drift = components.fit_drift(**model)
    fit_gate = components.fit_gate(**model)
    measured = {
        "evaluation": evaluation,
        "robustness": robustness.outputs["robustness"],
        "explanation": explain.outputs["explanation"],
    }
    package = components.package(drift=fit_drift.outputs["drift"], gate=fit_gate.outputs["gate"], **model, **measured)
    bundle = package.outputs["bundle"]
    register = components.register(
        bundle=bundle, evaluation=evaluation, search=search, model_name=model_name, **tracking
    )
    registration = register.outputs["registration"]
    report = components.report(search=search, bundle=bundle, registration=registration, **model, **measured)
    with dsl.If(promote == True, name="promotion asked for"):  # noqa: E712 - builds a condition, compares nothing
        champion = components.promote(registration=registration, tracking_uri=tracking_uri)

    for task in (register, champion):
        task.set_caching_options(enable_caching=False)
    for task in (ingest, tune, train, register, champion):
        set_retries(task)
    for task in (tune, train):
        set_gpu(task)
        set_scratch(task, scratch_claim)
    computing = (split, evaluate, robustness, explain, fit_drift, fit_gate, package, report)
    for task in (ingest, tune, train, register, champion, *computing):
        set_resources(task)
    return Outputs(
        **model,
        **measured,
        search=search,
        drift=fit_drift.outputs["drift"],
        gate=fit_gate.outputs["gate"],
        bundle=bundle,
        registration=registration,
        report=report.outputs["report"],
    )
