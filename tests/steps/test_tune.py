import csv
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from cxr.adapters import optuna_search
from cxr.contracts.files import read_json, write_json
from cxr.contracts.overlay import value_of, with_values
from cxr.contracts.recipe import Recipe
from cxr.contracts.resolve import resolve_recipe
from cxr.contracts.search import Parameter, SearchSpace
from cxr.contracts.search_report import SearchReport
from cxr.contracts.split import FOLDS_FILE, Folds
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError, RecipeError, SearchError, SplitError, TrainingError
from cxr.reporting.narrative import search_summary
from cxr.steps import withholding
from cxr.steps.split import split
from cxr.steps.tune import tune
from support.studies import write_noise_studies, write_separate_sources

PROGRAM = """
import logging, sys
from pathlib import Path
import torch
from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe
from cxr.steps.tune import tune
logging.basicConfig(level=logging.INFO)
torch.set_num_threads(1)
studies, recipe, out, scratch = map(Path, sys.argv[1:])
tune(studies=studies, split=studies, recipe=read_json(recipe, Recipe), out=out, scratch=scratch, device="cpu")
"""


def small_recipe(*overrides: str) -> Recipe:
    return resolve_recipe(
        """
model: {architecture: resnet18, weights: none}
preprocessing: {size: 32}
schedule: {batch_size: 16, ema_decay: 0.9}
search:
  algorithm: random
  trials: 3
  epochs: 1
  films: 24
  parameters:
    - {field: optimiser.learning_rate, kind: double, minimum: 1e-4, maximum: 1e-2, scale: log}
    - {field: loss.kind, kind: categorical, choices: [focal, cross_entropy]}
""",
        overrides,
    )


def rates(*values: float) -> str:
    return f"search.parameters=[{{field: optimiser.learning_rate, kind: categorical, choices: {list(values)}}}]"


@pytest.fixture
def search(noise_studies, tmp_path):
    def run(recipe: Recipe, name: str = "search", **given) -> SearchReport:
        places = {"studies": noise_studies, "split": noise_studies, "out": tmp_path / name, "scratch": tmp_path / "s"}
        return tune(recipe=recipe, device="cpu", **(places | given))

    return run


def without_time(report: SearchReport) -> SearchReport:
    trials = tuple(msgspec.structs.replace(trial, seconds=0.0) for trial in report.trials)
    return msgspec.structs.replace(report, trials=trials)


def test_the_best_recipe_and_all_trials_are_written(search, tmp_path):
    recipe = small_recipe()
    report = search(recipe)
    out = tmp_path / "search"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        "figures/search.png",
        "recipe.json",
        "search.json",
        "trials.csv",
    ]
    assert read_json(out / "search.json", SearchReport) == report
    best = report.trials[report.best]
    assert best.value == max(trial.value for trial in report.trials) >= report.trials[0].value
    assert read_json(out / "recipe.json", Recipe) == with_values(recipe, best.parameters)
    with (out / "trials.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["number"]) for row in rows] == [0, 1, 2]
    assert [float(row["macro_auroc"]) for row in rows] == [trial.value for trial in report.trials]
    assert rows[0]["optimiser.learning_rate"] == str(recipe.optimiser.learning_rate)
    with Image.open(out / "figures" / "search.png") as image:
        assert image.width > 1000
    assert (report.planned, report.epochs, report.films, report.importance) == (3, 1, 24, None)


def test_trial_0_is_the_recipe_and_trains_as_the_search_says(search):
    recipe = small_recipe("search.trials=1", "search.epochs=2", "search.films=0", "schedule.epochs=9")
    report = search(recipe)
    [trial] = report.trials
    assert trial.parameters == {name: value_of(recipe, name) for name in trial.parameters}
    assert len(trial.curve) == 2
    assert trial.value == max(trial.curve)
    assert report.films == 48


def test_trials_leave_the_head_as_it_is_and_the_best_recipe_fits_it_again(search, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.modeling.fit.refit_head", lambda *_: pytest.fail("a trial fitted the head again"))
    search(small_recipe("search.trials=1", "schedule.refit_head=true"))
    assert read_json(tmp_path / "search" / "recipe.json", Recipe).schedule.refit_head


def test_no_trials_keep_the_recipe_as_it_is(search, tmp_path):
    recipe = small_recipe("search.trials=0")
    report = search(recipe)
    assert (report.trials, report.best, report.planned) == ((), None, 0)
    assert read_json(tmp_path / "search" / "recipe.json", Recipe) == recipe
    assert not (tmp_path / "search" / "figures").exists()
    assert not (tmp_path / "s").exists()


def test_a_trial_that_diverges_fails_and_the_search_goes_on(search):
    report = search(small_recipe("search.algorithm=grid", rates(3e-4, 1e30)))
    assert [trial.state for trial in report.trials] == ["complete", "failed"]
    assert (report.planned, report.best) == (2, 0)
    assert "must stay finite" in report.trials[1].reason


def test_a_search_without_a_complete_trial_gives_the_reasons_and_can_be_tried_again(search, tmp_path):
    recipe = small_recipe("optimiser.learning_rate=1e30", "search.algorithm=grid", rates(1e30, 1e31))
    for _ in range(2):
        with pytest.raises(
            SearchError, match=r"at least one trial must be completed, all 2 failed: .*must stay finite"
        ):
            search(recipe)
        assert not (tmp_path / "search").exists()
        assert not list((tmp_path / "s").glob("search-*"))


def test_trials_are_pruned_after_an_epoch(search, monkeypatch):
    monkeypatch.setattr(optuna_search, "PRUNING_TRIALS", 1)
    monkeypatch.setattr(optuna_search, "PRUNING_EPOCH", 1)
    overrides = ["search.algorithm=grid", "search.epochs=2", "optimiser.learning_rate=1e-3", rates(1e-3, 1e-12)]
    report = search(small_recipe(*overrides))
    assert [trial.state for trial in report.trials] == ["complete", "pruned"]
    assert [len(trial.curve) for trial in report.trials] == [2, 1]
    assert report.best == 0


def test_a_finished_search_is_found_again_and_can_be_made_longer(search):
    first = search(small_recipe())
    assert search(small_recipe(), "again") == first
    longer = search(small_recipe("search.trials=4"), "longer")
    assert longer.trials[:3] == first.trials
    assert longer.importance is None or sum(longer.importance.values()) == pytest.approx(1)
    assert search(small_recipe("search.trials=2"), "shorter").trials == first.trials[:2]


def test_another_recipe_or_other_films_are_another_search(search, tmp_path):
    one = small_recipe("search.trials=1")
    search(one)
    other = tmp_path / "other"
    write_noise_studies(other, films=69)
    search(small_recipe("search.trials=1", "model.dropout=0.3"), "recipe")
    search(one, "films", studies=other, split=other)
    assert len(list((tmp_path / "s").glob("search-*"))) == 3
    search(small_recipe("search.trials=1", "gate.accuracy=0.1", "evaluation.resamples=500"), "same")
    assert len(list((tmp_path / "s").glob("search-*"))) == 3


def test_a_search_that_cannot_start_leaves_nothing(search, tmp_path):
    misspelt = SearchSpace(parameters=(Parameter(field="loss.gama", kind="double", minimum=1, maximum=2),))
    with pytest.raises(RecipeError, match=r"did you mean loss\.gamma"):
        search(msgspec.structs.replace(Recipe(), search=misspelt))
    with pytest.raises(TrainingError, match=r"--weights must be a file, .*missing\.pth is none"):
        search(small_recipe(), weights=tmp_path / "missing.pth")
    with pytest.raises(ContractError, match="must exist: run `cxr ingest`"):
        search(small_recipe(), split=tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_the_search_and_every_trial_are_tracked_once(search, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    recipe = small_recipe("search.algorithm=grid", rates(3e-4, 1e30))
    report = search(recipe, tracking_uri=uri, experiment="searches")
    search(recipe, tracking_uri=uri, experiment="searches")
    client = MlflowClient(uri, registry_uri=uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("searches").experiment_id], order_by=["attribute.run_name"]
    )
    assert [(run.info.run_name, run.info.status) for run in runs] == [
        ("search", "FINISHED"),
        ("trial 0", "FINISHED"),
        ("trial 1", "FAILED"),
    ]
    parent, *trials = runs
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials} == {parent.info.run_id}
    assert trials[0].data.params == {"optimiser.learning_rate": "0.0003"}
    assert trials[0].data.metrics["validation_macro_auroc"] == report.trials[0].value
    assert "must stay finite" in trials[1].data.tags["reason"]
    assert parent.data.params["optimiser.learning_rate"] == "0.0003"
    assert {file.path for file in client.list_artifacts(parent.info.run_id, "search")} >= {"search/recipe.json"}


def test_a_killed_search_ends_as_an_uninterrupted_one(search, noise_studies, tmp_path):
    recipe = small_recipe("search.epochs=2", "search.trials=4")
    write_json(tmp_path / "recipe.json", recipe)
    killed = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, noise_studies, tmp_path / "recipe.json", tmp_path / "out", killed],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert any("trial 0 complete" in line for line in process.stderr)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    report = search(recipe, scratch=killed)
    assert without_time(report) == without_time(search(recipe, "uninterrupted", scratch=tmp_path / "whole"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Noise whose sources share no patient, split."""
    folder = tmp_path_factory.mktemp("sources")
    write_separate_sources(folder / "studies", films=72)
    split(studies=folder / "studies", out=folder / "split", recipe=small_recipe())
    return {"studies": folder / "studies", "split": folder / "split"}


def test_a_search_can_be_for_sources_that_trials_never_saw(search, sources, tmp_path, monkeypatch):
    seen = []
    fit = withholding.fit

    def watched(**given):
        seen.append({part: given[part].index.films for part in ("train", "validation")})
        return fit(**given)

    monkeypatch.setattr(withholding, "fit", watched)
    recipe = small_recipe("search.objective=worst_source_auroc", "search.films=0", "search.trials=2")
    report = search(recipe, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", **sources)
    assert report.objective == "worst_source_auroc"
    assert all(trial.curve == () and 0 <= trial.value <= 1 for trial in report.trials)
    assert report.trials[report.best].value == max(trial.value for trial in report.trials)
    withheld = [set("ab") - set(films["train"]["source"]) for films in seen]
    assert withheld == [{"a"}, {"b"}] * 2
    test = StudyIndex.read(sources["split"]).part(Split.TEST).films["image_id"]
    learnt = {name for films in seen for part in films.values() for name in part["image_id"]}
    assert not learnt & set(test), "the test films of the run take no part"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cxr").experiment_id])
    assert all("worst_source_auroc" in run.data.metrics for run in runs)


def test_a_search_for_unseen_sources_needs_two_of_them(search, sources, tmp_path):
    index = StudyIndex.read(sources["split"])
    StudyIndex(index.films.assign(source="a")).write(tmp_path)
    digest = StudyIndex.read(tmp_path).digest
    write_json(tmp_path / FOLDS_FILE, Folds(seed=1, index=digest, folds=()))
    with pytest.raises(SplitError, match="at least two sources"):
        search(small_recipe("search.objective=worst_source_auroc"), studies=sources["studies"], split=tmp_path)


def test_a_search_says_which_sources_no_trial_is_judged_on(search, tmp_path):
    write_separate_sources(tmp_path / "s", films=180)
    films = StudyIndex.read(tmp_path / "s").films
    StudyIndex(films.assign(source=films["source"].where(films["label"] != "Tuberculosis", "c"))).write(tmp_path / "s")
    recipe = small_recipe("search.objective=worst_source_auroc", "search.films=0", "search.trials=1")
    split(studies=tmp_path / "s", out=tmp_path / "split", recipe=recipe)
    report = search(recipe, studies=tmp_path / "s", split=tmp_path / "split")
    (untrained,) = report.untrained
    assert untrained.withheld == ("c",)
    assert search_summary(report).endswith("Without c no network was trained: the train films have no Tuberculosis.")
