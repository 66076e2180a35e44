"""From films to a registered, explained, servable bundle: the one flow that the pipelines are made of.

Caching: every task whose output follows from its inputs is cached (Kubeflow's default), so that a run that failed in
`explain` starts there again. `register`, `promote`, `deploy` and `promote_canary` change a registry or a cluster, which
are no files: they always run, and doing a thing again gives what is there already. Films behind an address may change
while the address stays; another `data_version` makes `ingest` read them again. In a fresh flow nothing is cached.

Retries: `ingest`, `tune` and `train` read from a network or hold a node for long, so that losing either is likely;
what they have done so far is in `scratch` (or is cheap), so that a retry goes on instead of starting over. `register`
and `promote` talk to a server that may be restarting. `deploy` and `promote_canary` try again by themselves where that
helps; what they give up has been rolled back. The other tasks compute: if they fail once they fail again, and a retry
would only hide it.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Model, PipelineTask
from kfp.dsl.graph_component import GraphComponent

import components
from pipelines.placement import CONFIG, SCRATCH, place, set_gpus, set_retries, set_scratch

MLFLOW = "http://mlflow.cxr.svc:5000"


class Outputs(NamedTuple):
    """The folders that a run leaves behind."""

    studies: Dataset
    split: Dataset
    search: Artifact
    checkpoint: Model
    evaluation: Artifact
    robustness: Artifact
    explanation: Artifact
    audit: Artifact
    drift: Artifact
    gate: Artifact
    bundle: Model
    registration: Artifact
    report: Artifact


def make_pipeline(*, name: str, description: str, promoted: bool, fresh: bool) -> GraphComponent:
    """The flow as a pipeline.

    Args:
        name: of the pipeline.
        description: for people.
        promoted: the default of its parameter `promote`.
        fresh: no task is answered from the cache.
    """

    def flow(
        data: str,
        recipe: str = "default",
        data_version: str = "",
        scratch: str = SCRATCH,
        scratch_claim: str = "cxr-scratch",
        weights: str = "",
        search_engine: str = "embedded",
        training_mode: str = "pod",
        gpus: str = "1",
        cluster: str = "",
        tracking_uri: str = MLFLOW,
        experiment: str = "cxr",
        model_name: str = "cxr",
        promote: bool = promoted,
        deploy_mode: str = "none",
        deployment: str = "",
    ) -> Outputs:
        """Train, evaluate, explain, package and register a chest X-ray classifier.

        Args:
            data: Where the films are: a folder, an index, phantom[:N], kaggle:OWNER/SET or s3://BUCKET/PREFIX.
            recipe: A recipe's name, or YAML or JSON text.
            data_version: Any text that changes when the films behind `data` do.
            scratch: Folder that outlives a task; in a cluster, where the volume is mounted or a folder below it.
            scratch_claim: Name of the persistent volume claim that is mounted there.
            weights: File of initial weights, e.g. on the scratch volume; empty for those that the recipe names.
            search_engine: "embedded" searches in the task's own pod, "katib" in trials that Katib starts.
            training_mode: "pod" trains in the task's own pod, on all its GPUs, "trainjob" in the nodes of a TrainJob.
            gpus: GPUs of the pods of tune and train; 0 where Katib and a TrainJob do their work.
            cluster: Where Katib's and the TrainJob's pods run, as YAML or JSON; empty for the defaults.
            tracking_uri: MLflow server with a model registry.
            experiment: MLflow experiment of the trials and of the run.
            model_name: Name of the registered model.
            promote: Make the model champion if the gate lets it pass.
            deploy_mode: How the model is served, if the gate lets it pass: "none" does not, "print" writes what would
                be served, "apply" serves it, "canary" gives it a share of the requests until these show it to be sound.
            deployment: Where and how it is served, as YAML or JSON; empty for the defaults.
        """
        tracking = {"tracking_uri": tracking_uri, "experiment": experiment}
        initial = {"scratch": scratch, "weights": weights}

        ingest = components.ingest(data=data, data_version=data_version, recipe=recipe)
        studies = ingest.outputs["studies"]
        split = components.split(studies=studies, recipe=recipe)
        films = {"studies": studies, "split": split.outputs["split"]}
        tune = components.tune(recipe=recipe, engine=search_engine, cluster=cluster, **films, **initial, **tracking)
        search = tune.outputs["search"]
        train = components.train(search=search, mode=training_mode, cluster=cluster, **films, **initial)
        model = {**films, "checkpoint": train.outputs["checkpoint"]}

        evaluate = components.evaluate(**model)
        evaluation = evaluate.outputs["evaluation"]
        robustness = components.robustness(evaluation=evaluation, **model)
        explain = components.explain(evaluation=evaluation, **model)
        audit = components.audit_shortcuts(evaluation=evaluation, **model)
        fit_drift = components.fit_drift(**model)
        fit_gate = components.fit_gate(**model)
        measured = {
            "evaluation": evaluation,
            "robustness": robustness.outputs["robustness"],
            "explanation": explain.outputs["explanation"],
        }
        package = components.package(
            drift=fit_drift.outputs["drift"],
            gate=fit_gate.outputs["gate"],
            audit=audit.outputs["audit"],
            **model,
            **measured,
        )
        bundle = package.outputs["bundle"]
        register = components.register(
            bundle=bundle, evaluation=evaluation, search=search, model_name=model_name, **films, **tracking
        )
        registration = register.outputs["registration"]
        report = components.report(search=search, bundle=bundle, registration=registration, **model, **measured)
        with dsl.If(promote == True, name="promotion asked for"):  # noqa: E712 - builds a condition, compares nothing
            champion = components.promote(registration=registration, tracking_uri=tracking_uri)

        with (
            dsl.If(deploy_mode != "none", name="deployment asked for"),
            dsl.If(register.outputs["passed"] == True, name="gate passed"),  # noqa: E712 - likewise
        ):
            deploy = components.deploy(
                bundle=bundle, registration=registration, mode=deploy_mode, deployment=deployment
            )
            with dsl.If(deploy_mode == "canary", name="canary asked for"):
                sound = components.promote_canary(deployed=deploy.outputs["deployed"], deployment=deployment)

        changing = [register, champion, deploy, sound]
        computing = [split, evaluate, robustness, explain, audit, fit_drift, fit_gate, package, report]
        _treat([ingest, tune, train, *changing, *computing], retried=[ingest, tune, train, register, champion])
        _cache([ingest, tune, train, *computing], never=changing, fresh=fresh)
        for task in (tune, train):
            set_gpus(task, gpus)
            set_scratch(task, scratch_claim)
        return Outputs(
            **model,
            **measured,
            search=search,
            audit=audit.outputs["audit"],
            drift=fit_drift.outputs["drift"],
            gate=fit_gate.outputs["gate"],
            bundle=bundle,
            registration=registration,
            report=report.outputs["report"],
        )

    pipeline: GraphComponent = dsl.pipeline(name=name, description=description, pipeline_config=CONFIG)(flow)
    return pipeline


def _treat(tasks: list[PipelineTask], *, retried: list[PipelineTask]) -> None:
    for task in tasks:
        place(task)
    for task in retried:
        set_retries(task)


def _cache(tasks: list[PipelineTask], *, never: list[PipelineTask], fresh: bool) -> None:
    for task in [*never, *(tasks if fresh else [])]:
        task.set_caching_options(enable_caching=False)
