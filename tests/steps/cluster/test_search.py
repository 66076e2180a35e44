"""The step with an HTTP API in Katib's place: what it creates, what it writes, and how it goes on after a kill."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from mlflow.tracking import MlflowClient

from cxr.contracts.files import read_json
from cxr.contracts.overlay import with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import resolve_recipe
from cxr.contracts.search_report import SearchReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ClusterError, RecipeError, SearchError
from cxr.steps.tune import tune

RECIPE = """
model: {architecture: resnet18, weights: none}
search:
  algorithm: tpe
  trials: 3
  epochs: 4
  parameters:
    - {field: loss.gamma, kind: double, minimum: 0.5, maximum: 3.0}
    - {field: schedule.batch_size, kind: categorical, choices: [16, 32]}
"""
PROGRAM = """
import sys
from pathlib import Path
from cxr.contracts.cluster import resolve_cluster
from cxr.contracts.resolve import resolve_recipe
from cxr.steps.tune import tune
recipe, cluster, *folders = sys.argv[1:]
studies, out, scratch = map(Path, folders)
tune(studies=studies, split=studies, recipe=resolve_recipe(recipe), out=out, scratch=scratch, engine="katib",
     cluster=resolve_cluster(cluster))
"""
SUCCEEDED = [{"type": "Succeeded", "status": "True"}]


def recipe(*overrides):
    return resolve_recipe(RECIPE, overrides)


@pytest.fixture
def search(stand_in, settings, claim, noise_studies, tmp_path):
    def run(searched=None, name="search", cluster=None, **given):
        return tune(
            studies=noise_studies,
            split=noise_studies,
            recipe=searched or recipe(),
            out=tmp_path / name,
            scratch=claim / "runs",
            engine="katib",
            cluster=cluster or settings(),
            **given,
        )

    return run


@pytest.fixture
def katib(stand_in):
    """Ends a search, as Katib does, as soon as there is one; gives its name."""

    def work():
        stand_in.until(lambda: stand_in.experiments, 60)
        (name,) = stand_in.experiments
        low, high = (
            {"loss.gamma": "0.75", "schedule.batch_size": "16"},
            {"loss.gamma": "1.25", "schedule.batch_size": "32"},
        )
        if not stand_in.trials:
            stand_in.add_trial(name, "t-a", "Succeeded", low, "0.88", minute=1)
            stand_in.add_trial(name, "t-b", "Succeeded", high, "0.91", minute=2)
            stand_in.add_trial(name, "t-c", "Failed", low, minute=3, message="Trial has failed")
        stand_in.became(name, conditions=SUCCEEDED, trials=3, currentOptimalTrial={"bestTrialName": "t-b"})
        return name

    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(work)


def posts(stand_in):
    return [body for method, _, _, body in stand_in.requests if method == "POST"]


def test_the_folder_is_the_one_that_every_search_writes(search, katib, stand_in, noise_studies, claim, tmp_path):
    katib()
    report = search()
    out = tmp_path / "search"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        "figures/search.png",
        "recipe.json",
        "search.json",
        "trials.csv",
    ]
    assert read_json(out / "search.json", SearchReport) == report
    assert read_json(out / "recipe.json", Recipe) == with_values(
        recipe(), {"loss.gamma": 1.25, "schedule.batch_size": 32}
    )
    assert [(trial.number, trial.state) for trial in report.trials] == [(1, "complete"), (2, "complete"), (3, "failed")]
    index = StudyIndex.read(noise_studies)
    assert (report.films, report.index) == (len(index.part(Split.TRAIN)), index.digest)
    assert not stand_in.experiments, "its result is written, it is deleted"
    (created,) = posts(stand_in)
    (words,) = created["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["args"]
    studies = words.partition("--studies /films/")[2].partition(" ")[0]
    assert (claim / studies / "images").is_dir(), "trials find their films"


def test_a_step_that_lost_the_cluster_goes_on_with_the_same_search(search, katib, stand_in, tmp_path):
    stand_in.fail(status=403, method="WATCH")
    with pytest.raises(ClusterError, match="403"):
        search()
    (name,) = stand_in.experiments
    assert not (tmp_path / "search").exists()
    katib()
    assert search().best == 2
    assert len({body["metadata"]["name"] for body in posts(stand_in)}) == 1
    assert name not in stand_in.experiments


def test_a_step_that_was_killed_finds_its_search_again(
    search, katib, stand_in, settings, claim, noise_studies, tmp_path
):
    cluster = msgspec.json.encode(settings()).decode()
    places = [str(noise_studies), str(tmp_path / "search"), str(claim / "runs")]
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", PROGRAM, RECIPE, cluster, *places]) as process:
        stand_in.until(lambda: stand_in.watches, 120)
        process.kill()
    (name,) = stand_in.experiments
    assert not (tmp_path / "search").exists()
    katib()
    assert search().best == 2
    assert {body["metadata"]["name"] for body in posts(stand_in)} == {name}


def test_a_search_that_is_kept_gives_the_same_result_again(search, katib, stand_in, settings):
    kept = settings(search={"keep": True})
    katib()
    first = search(cluster=kept)
    assert stand_in.experiments
    assert search(cluster=kept, name="again") == first


def test_a_failed_search_ends_with_the_reason_and_is_deleted(search, stand_in, tmp_path):
    def fail():
        stand_in.until(lambda: stand_in.experiments, 60)
        (name,) = stand_in.experiments
        stand_in.add_pod("t-a", {"training": "Error: no such film\n"})
        failed = [{"type": "Failed", "status": "True", "message": "max failed count has reached"}]
        stand_in.became(name, conditions=failed, trialsFailed=3, failedTrialList=["t-a"])

    failing = threading.Thread(target=fail)
    failing.start()
    with pytest.raises(SearchError, match=r"(?s)max failed count has reached.*Error: no such film"):
        search()
    failing.join()
    assert not stand_in.experiments
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.films=24", "must be 0 in Katib"),
        (
            "search.parameters=[{field: optimiser.learning_rate, kind: double, minimum: 1e-12, maximum: 1,"
            " scale: log}]",
            "must have minimum >= 1e-10",
        ),
        (
            "search.parameters=[{field: model.architecture, kind: categorical, choices: [resnet18, 'resnet34;']}]",
            "choices of model.architecture",
        ),
    ],
)
def test_what_katib_would_sample_otherwise_is_refused_before_anything_is_made(search, stand_in, claim, override, words):
    with pytest.raises(RecipeError, match=words):
        search(recipe(override))
    assert stand_in.requests == []
    assert not list(claim.iterdir())


def test_an_engine_that_there_is_none_of_is_refused(noise_studies, tmp_path):
    with pytest.raises(SearchError, match="must be one of embedded, katib, is 'vizier'"):
        tune(
            studies=noise_studies,
            split=noise_studies,
            recipe=recipe(),
            out=tmp_path / "search",
            scratch=tmp_path / "scratch",
            engine="vizier",
        )


def test_without_trials_the_recipe_stays_and_no_cluster_is_asked(search, stand_in, tmp_path):
    assert search(recipe("search.trials=0")).best is None
    assert read_json(tmp_path / "search" / "recipe.json", Recipe) == recipe("search.trials=0")
    assert stand_in.requests == []


def test_a_search_that_cannot_be_deleted_still_gives_its_result(search, katib, stand_in, caplog):
    named = katib()
    stand_in.fail(status=403, method="DELETE")
    assert search().best == 2
    assert "left in the cluster" in caplog.text
    assert named.result() in stand_in.experiments


def test_the_search_and_every_trial_are_tracked_once(search, katib, settings, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    kept = settings(search={"keep": True})
    katib()
    for name in ("one", "two"):
        search(cluster=kept, name=name, tracking_uri=uri, experiment="searches")
    client = MlflowClient(uri, registry_uri=uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("searches").experiment_id], order_by=["attribute.run_name"]
    )
    assert [(run.info.run_name, run.info.status) for run in runs] == [
        ("search", "FINISHED"),
        ("trial 1", "FINISHED"),
        ("trial 2", "FINISHED"),
        ("trial 3", "FAILED"),
    ]
    parent, first, *_, failed = runs
    assert first.data.metrics["validation_macro_auroc"] == 0.88
    assert failed.data.tags["reason"] == "Trial has failed"
    assert parent.data.params["loss.gamma"] == "1.25"
