"""The Experiment against Katib's models, Kubernetes' schemas, and what Katib's controllers do with it."""

import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from kubeflow_katib_api.models import V1beta1Experiment

from cxr.adapters.katib_experiment import (
    FILTER,
    METRIC,
    check_manifest,
    planned_trials,
    read_value,
    render_experiment,
    value_text,
)
from cxr.adapters.katib_trial import CONTAINER, FILMS, SCRATCH
from cxr.contracts.checkpoint import HISTORY_FILE, RECIPE_FILE, History
from cxr.contracts.cluster import GPU, Cluster, SearchPods, SecretVariable, SharedFilms
from cxr.contracts.files import read_json
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.search import PRUNING_EPOCH, PRUNING_TRIALS, STARTUP_TRIALS
from cxr.contracts.search_rules import grid_values
from cxr.errors import RecipeError, SearchError
from pipelines.placement import NEEDS

IMAGE = "registry.example/cxr/pipeline:0.1.0"
CLUSTER = Cluster(image=IMAGE, namespace="films")
ON_CPU = Cluster(image=IMAGE, search=SearchPods(gpus=0))
SHARED = SharedFilms(studies="shared", split="shared/split-1")
ALGORITHMS = ["bayesianoptimization", "tpe", "random", "grid"]
STEPPED = [
    {"field": "model.dropout", "kind": "double", "minimum": 0.1, "maximum": 0.3, "step": 0.1},
    {"field": "schedule.batch_size", "kind": "int", "minimum": 16, "maximum": 48, "step": 16},
    {"field": "loss.class_balance", "kind": "categorical", "choices": [True, False]},
]
LEARNING_RATE = {"field": "optimiser.learning_rate", "kind": "double", "minimum": 1e-5, "maximum": 1e-2, "scale": "log"}
GAMMA = {"field": "loss.gamma", "kind": "double", "minimum": 0.5, "maximum": 3.0}


def recipe(algorithm="tpe", parameters=None, **changes):
    space = {"search.algorithm": algorithm, "search.trials": 12}
    if parameters or algorithm == "grid":
        space["search.parameters"] = parameters or STEPPED
    return with_values(Recipe(), {**space, **changes})


def render(searched=None, cluster=CLUSTER, films=SHARED, **given):
    return render_experiment(searched or recipe(), cluster, films, **{"index": "a" * 64, **given})


def settings(entry):
    return {setting["name"]: setting["value"] for setting in entry["algorithmSettings"]}


def container(manifest):
    (only,) = manifest["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    return only


def substituted(manifest, assignments):
    """The trial that Katib makes: it replaces text in the template's JSON, and then reads it."""
    template = manifest["spec"]["trialTemplate"]
    text = json.dumps(template["trialSpec"])
    assert {parameter["reference"] for parameter in template["trialParameters"]} == set(assignments)
    for parameter in template["trialParameters"]:
        text = text.replace(f"${{trialParameters.{parameter['name']}}}", assignments[parameter["reference"]])
    assert "trialParameters" not in text
    return json.loads(text)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_katibs_models_keep_every_field(algorithm):
    manifest = render(recipe(algorithm))
    assert V1beta1Experiment.from_dict(manifest).to_dict() == manifest
    assert json.loads(json.dumps(manifest)) == manifest


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        (("spec", "maxTrials"), "spec.maxTrials"),
        (("spec", "objective", "metric"), "spec.objective.metric"),
        (("metadata", "label"), "metadata.label"),
    ],
)
def test_a_field_that_katib_does_not_know_is_refused(path, lost):
    manifest = json.loads(json.dumps(render()))
    inner = manifest
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "12"
    with pytest.raises(SearchError, match=re.escape(lost)):
        check_manifest(manifest)


def test_a_field_of_another_type_is_refused():
    manifest = json.loads(json.dumps(render()))
    manifest["spec"]["maxTrialCount"] = "12"
    with pytest.raises(SearchError, match="maxTrialCount"):
        check_manifest(manifest)


def test_an_unknown_field_within_a_list_is_refused():
    manifest = json.loads(json.dumps(render()))
    manifest["spec"]["parameters"][0]["feasibleSpace"]["maximum"] = "1"
    with pytest.raises(SearchError, match=r"spec\.parameters\[0\]\.feasibleSpace\.maximum"):
        check_manifest(manifest)


def test_the_default_recipe_is_searched_as_its_space_says():
    searched = Recipe()
    spec = render(searched, Cluster(search=SearchPods(parallel=3, failures=2)))["spec"]
    assert spec["algorithm"]["algorithmName"] == searched.search.algorithm
    assert settings(spec["algorithm"])["n_initial_points"] == str(STARTUP_TRIALS)
    assert settings(spec["algorithm"])["random_state"] == str(searched.seed)
    assert (spec["parallelTrialCount"], spec["maxFailedTrialCount"]) == (3, 2)
    assert spec["maxTrialCount"] == searched.search.trials
    assert spec["objective"]["type"] == "maximize"
    assert spec["objective"]["metricStrategies"] == [{"name": METRIC, "value": "max"}]
    assert [parameter["name"] for parameter in spec["parameters"]] == [p.field for p in searched.search.parameters]
    assert settings(spec["earlyStopping"]) == {
        "min_trials_required": str(PRUNING_TRIALS),
        "start_step": str(PRUNING_EPOCH),
    }


# what Katib 0.19's validators of algorithm settings accept
KNOWN_SETTINGS = {
    "bayesianoptimization": {"base_estimator", "n_initial_points", "acq_func", "acq_optimizer", "random_state"},
    "tpe": {"n_startup_trials", "n_ei_candidates", "random_state"},
    "random": {"random_state"},
    "grid": {"random_state"},
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_settings_are_those_that_the_algorithm_knows(algorithm):
    assert set(settings(render(recipe(algorithm))["spec"]["algorithm"])) <= KNOWN_SETTINGS[algorithm]


@pytest.mark.parametrize(("changes"), [{"search.pruning": False}, {"search.epochs": PRUNING_EPOCH}])
def test_trials_are_not_stopped_early_where_that_is_off_or_would_hit_trials_that_are_over(changes):
    assert "earlyStopping" not in render(recipe(**changes))["spec"]


@pytest.mark.parametrize(
    ("algorithm", "parameter", "kind", "feasible"),
    [
        ("tpe", LEARNING_RATE, "double", {"min": "1e-05", "max": "0.01", "distribution": "logUniform"}),
        ("tpe", GAMMA, "double", {"min": "0.5", "max": "3.0", "distribution": "uniform"}),
        ("random", STEPPED[0], "double", {"min": "0.1", "max": "0.3", "step": "0.1", "distribution": "uniform"}),
        ("tpe", STEPPED[1], "int", {"min": "16", "max": "48", "step": "16", "distribution": "uniform"}),
        ("tpe", STEPPED[2], "categorical", {"list": ["true", "false"]}),
        ("grid", STEPPED[0], "discrete", {"list": ["0.1", "0.2", "0.3"]}),
        ("grid", STEPPED[1], "discrete", {"list": ["16", "32", "48"]}),
        ("bayesianoptimization", GAMMA, "double", {"min": "0.5", "max": "3.0", "distribution": "logUniform"}),
    ],
)
def test_a_parameter_is_rendered_as_katib_samples_it(algorithm, parameter, kind, feasible):
    (rendered,) = render(recipe(algorithm, [parameter], **{"search.trials": 1}))["spec"]["parameters"]
    assert rendered == {"name": parameter["field"], "parameterType": kind, "feasibleSpace": feasible}


def test_a_grid_makes_no_more_trials_than_it_has_points():
    grid = recipe("grid", **{"search.trials": 100})
    assert planned_trials(grid) == 3 * 3 * 2
    assert render(grid)["spec"]["maxTrialCount"] == 18


def test_katib_never_has_more_at_a_time_or_lost_than_trials_in_all():
    spec = render(recipe(**{"search.trials": 2}), Cluster(search=SearchPods(parallel=8, failures=9)))["spec"]
    assert (spec["parallelTrialCount"], spec["maxFailedTrialCount"]) == (2, 2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_value_comes_back_from_katibs_text(algorithm):
    for parameter in recipe(algorithm, STEPPED if algorithm != "bayesianoptimization" else None).search.parameters:
        for value in parameter.choices or (grid_values(parameter) if parameter.step else (parameter.minimum,)):
            back = read_value(parameter, value_text(value))
            assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize("text", ["17.5", "many", "inf", ""])
def test_an_int_that_is_none_is_refused(text):
    parameter = recipe("grid").search.parameters[1]
    assert read_value(parameter, "32.0") == 32
    with pytest.raises(SearchError, match=r"schedule\.batch_size"):
        read_value(parameter, text)


@pytest.mark.parametrize(
    ("algorithm", "parameter", "words"),
    [
        ("bayesianoptimization", {**GAMMA, "minimum": 0.0}, "log-uniformly"),
        ("bayesianoptimization", STEPPED[0], "step"),
        ("bayesianoptimization", {"field": "schedule.batch_size", "kind": "int", "minimum": 8, "maximum": 64,
                                  "scale": "log"}, "every int uniformly"),
        ("tpe", {**LEARNING_RATE, "minimum": 1e-12}, "1e-10"),
        ("tpe", {"field": "model.architecture", "kind": "categorical", "choices": ["resnet18", "a'; rm -rf /"]},
         "letters, digits"),
        ("random", {"field": "model.architecture", "kind": "categorical", "choices": ['"', "resnet18"]}, "letters"),
        ("grid", GAMMA, "step"),
    ],
)  # fmt: skip
def test_what_katib_would_sample_otherwise_is_refused_with_the_reason(algorithm, parameter, words):
    with pytest.raises(RecipeError, match=words):
        render(recipe(algorithm, [parameter]))


@pytest.mark.parametrize(
    ("changes", "words"), [({"search.trials": 0}, "at least 1"), ({"search.films": 600}, "all training films")]
)
def test_a_search_that_trials_in_katib_cannot_make_is_refused(changes, words):
    with pytest.raises(RecipeError, match=words):
        render(recipe(**changes))


def test_the_same_search_has_the_same_name_and_another_has_another():
    names = [
        render()["metadata"]["name"],
        render()["metadata"]["name"],
        render(index="b" * 64)["metadata"]["name"],
        render(recipe(**{"loss.alpha": 0.5}))["metadata"]["name"],
        render(cluster=Cluster(image=IMAGE, claim="others"))["metadata"]["name"],
    ]
    assert len(set(names)) == 4
    assert names[0] == names[1]


FULL = Cluster(
    image=f"registry.example/cxr/pipeline@sha256:{'0' * 64}",
    secrets=(SecretVariable(name="AWS_SECRET_ACCESS_KEY", secret="s3", key="secret"),),  # noqa: S106
    pull_secrets=("registry",),
    service_account="cxr-trial",
    search=SearchPods(gpus=2),
)
WEIGHTED = SharedFilms(studies="s", split="s/split-1", weights="s/weights-1.pth")


@pytest.mark.parametrize("cluster", [CLUSTER, FULL, ON_CPU])
def test_the_trial_is_a_job_that_kubernetes_knows_in_every_field(cluster):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kubernetes_validate
    manifest = render(recipe("grid"), cluster)
    values = {"model.dropout": "0.2", "schedule.batch_size": "32", "loss.class_balance": "true"}
    job = substituted(manifest, values)
    assert "name" not in job.get("metadata", {}), "Katib names it"
    kubernetes_validate.validate(job, "1.31", strict=True)
    job["spec"]["template"]["spec"]["containers"][0]["comand"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.31", strict=True)


def test_the_trial_runs_where_and_as_it_should():
    template = render(recipe(), FULL, WEIGHTED)["spec"]["trialTemplate"]
    job = template["trialSpec"]["spec"]
    pod, only = job["template"]["spec"], container(render(recipe(), FULL, WEIGHTED))
    assert template["primaryContainerName"] == only["name"] == CONTAINER
    assert only["resources"]["limits"][GPU] == "2"
    assert pod["nodeSelector"] == {f"{GPU}.present": "true"}
    assert pod["tolerations"] == [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in only["volumeMounts"]}
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"]["medium"] == "Memory"  # noqa: S108
    assert volumes[mounts[FILMS]["name"]]["persistentVolumeClaim"] == {"claimName": "cxr-scratch", "readOnly": True}
    assert {"mountPath": SCRATCH, "name": "scratch"} in only["volumeMounts"]
    variables = {variable["name"]: variable for variable in only["env"]}
    assert variables["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "s3", "key": "secret"}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["serviceAccountName"] == "cxr-trial"
    words = shlex.split(only["args"][0])
    assert words[:5] == ["torchrun", "--standalone", "--nproc-per-node=2", "-m", "cxr"]
    assert words[words.index("--weights") + 1] == f"{FILMS}/s/weights-1.pth"


def test_a_trial_without_gpus_asks_for_no_gpu_node():
    manifest = render(cluster=ON_CPU)
    pod = manifest["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    assert not {"nodeSelector", "tolerations"} & set(pod)
    assert GPU not in container(manifest)["resources"]["limits"]


def test_a_trial_gets_what_the_pipelines_training_gets():
    needs = NEEDS["train"]
    for pods in (CLUSTER.search, CLUSTER.training):
        assert (pods.cores, pods.gibibytes) == (needs.cores, needs.gibibytes)
        assert pods.node_selector == {f"{GPU}.present": "true"}


def test_the_command_survives_kubernetes_and_the_shell():
    odd = with_values(recipe(), {"split.linked_sources": [["it's", '$HOME $(date) `id` "x" \\ $$']]})
    manifest = render(odd, index="a" * 64)
    assignments = {p.field: value_text(p.choices[0] if p.choices else p.minimum) for p in odd.search.parameters}
    only = substituted(manifest, assignments)["spec"]["template"]["spec"]["containers"][0]
    (script,) = only["args"]
    script = script.replace("$$", "$")  # as the kubelet does
    printed = subprocess.run(
        [*only["command"], f"printf '%s\\n' {script}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    given = json.loads(printed[printed.index("--recipe") + 1])
    assert given["split"]["linked_sources"] == [["it's", '$HOME $(date) `id` "x" \\ $$']]
    assert f"optimiser.learning_rate={assignments['optimiser.learning_rate']}" in printed


def test_a_trial_really_trains_and_katib_finds_its_objective(noise_studies, tmp_path):
    """The command as Katib's webhook wraps it, run by a shell, and its output read as Katib's collector reads it."""
    tiny = recipe(
        parameters=[LEARNING_RATE, STEPPED[1]],
        **{
            "search.epochs": 2,
            "model.architecture": "resnet18",
            "model.weights": "none",
            "preprocessing.size": 32,
            "schedule.refit_head": True,
        },
    )
    manifest = render(tiny, ON_CPU, SharedFilms(studies="studies", split="studies"))
    job = substituted(manifest, {"optimiser.learning_rate": "0.0012", "schedule.batch_size": "16"})
    only = job["spec"]["template"]["spec"]["containers"][0]
    log = tmp_path / "metrics.log"
    script = only["args"][0].replace(f"{FILMS}/studies", str(noise_studies)).replace(SCRATCH, str(tmp_path / "scratch"))
    stopped = f"if test -f {tmp_path}/$$.pid; then echo stopped; else echo failed; exit 1; fi"
    wrapped = f"{script} 1>{log} 2>&1 || {stopped} && echo completed > {tmp_path}/$$.pid"
    variables = {variable["name"]: variable["value"] for variable in only["env"]}
    environment = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([*only["command"], wrapped], env=environment, check=False)
    assert done.returncode == 0, log.read_text()
    assert [mark.read_text() for mark in tmp_path.glob("*.pid")] == ["completed\n"]

    history = read_json(tmp_path / "scratch" / "checkpoint" / HISTORY_FILE, History)
    trained = read_json(tmp_path / "scratch" / "checkpoint" / RECIPE_FILE, Recipe)
    assert (trained.optimiser.learning_rate, trained.schedule.batch_size, trained.schedule.epochs) == (0.0012, 16, 2)
    assert not trained.schedule.refit_head
    found = collected(log.read_text())
    assert [value for _, value in found] == [f"{epoch.validation_macro_auroc:.6f}" for epoch in history.epochs]
    assert [stamp for stamp, _ in found] == sorted({stamp for stamp, _ in found}), "each epoch has its time"


def collected(log):
    """As Katib 0.19's file-metricscollector: lines with the metric's name, the time in front, the filter's matches."""
    found = []
    for line in log.splitlines():
        if METRIC not in line:
            continue
        stamp = line.partition(" ")[0]
        timed = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", stamp)
        for match in re.finditer(FILTER, line):
            assert match[1] == METRIC
            found.append((stamp if timed else "", match[2]))
    return found


def test_katib_accepts_the_filter():
    assert re.fullmatch(r".*\(.*\).*\(.*\).*", FILTER), "two groups, as its webhook demands"
    assert ";" not in FILTER, "it joins filters with semicolons"
