import os
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxr.contracts.files import read_json
from cxr.contracts.metrics import RobustnessReport
from cxr.contracts.recipe import EvaluationRecipe
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.imaging.corrupt import CORRUPTIONS, PRESETS
from cxr.imaging.preprocess import network_input
from cxr.modeling.dataset import load_films
from cxr.steps.corrupted import corrupt_films, film_seeds
from cxr.steps.evaluate import evaluate
from cxr.steps.robustness import robustness
from support.checkpoints import SMALL, write_random_checkpoint


@pytest.fixture(scope="module")
def run(noise_studies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("robust")
    write_random_checkpoint(folder / "checkpoint")
    steps = {"studies": noise_studies, "split": noise_studies, "checkpoint": folder / "checkpoint"}
    metrics = evaluate(**steps, out=folder / "evaluation")
    report = robustness(**steps, evaluation=folder / "evaluation", out=folder / "robustness")
    return folder, metrics, report


def test_the_grid_is_whole_and_starts_from_the_evaluation(run):
    folder, metrics, report = run
    assert read_json(folder / "robustness" / "robustness.json", RobustnessReport) == report
    assert (report.films, report.index, report.model) == (metrics.films, metrics.index, metrics.model)
    assert report.clean_accuracy.value == metrics.overall["accuracy"].value
    assert report.clean_macro_auroc.value == pytest.approx(metrics.overall["macro_auroc"].value)
    graded = {(name, severity) for name in CORRUPTIONS for severity in (1, 4)}
    assert {(r.corruption, r.severity) for r in report.results} == graded.union(PRESETS["clinical"])
    assert set(report.presets) == {"clinical", "severe"}
    for result in report.results:
        assert result.accuracy_drop.value == pytest.approx(report.clean_accuracy.value - result.accuracy.value)


def test_the_table_names_the_physical_amounts(run):
    folder, _, report = run
    table = pd.read_csv(folder / "robustness" / "robustness.csv")
    row = table.query("name == 'rotation' and severity == 4 and metric == 'accuracy_drop'").iloc[0]
    assert (row["amount"], row["unit"]) == (CORRUPTIONS["rotation"].amounts[3], "degrees")
    expected = next(r for r in report.results if (r.corruption, r.severity) == ("rotation", 4))
    assert row["value"] == pytest.approx(expected.accuracy_drop.value)
    assert len(table) == 2 + 4 * (len(report.results) + 2)


def test_the_figures_are_there(run):
    folder, _, _ = run
    for name in ("robustness.png", "corruptions.png"):
        with Image.open(folder / "robustness" / "figures" / name) as picture:
            assert min(picture.size) > 400


def test_it_gives_the_same_report_again(run, noise_studies, tmp_path):
    folder, _, report = run
    again = robustness(
        studies=noise_studies,
        split=noise_studies,
        checkpoint=folder / "checkpoint",
        evaluation=folder / "evaluation",
        out=tmp_path / "robustness",
    )
    assert again == report


def test_an_evaluation_of_another_checkpoint_is_refused(run, noise_studies, tmp_path):
    folder, _, _ = run
    write_random_checkpoint(tmp_path / "checkpoint", msgspec.structs.replace(SMALL, seed=7))
    with pytest.raises(ContractError, match="must be of checkpoint"):
        robustness(
            studies=noise_studies,
            split=noise_studies,
            checkpoint=tmp_path / "checkpoint",
            evaluation=folder / "evaluation",
            out=tmp_path / "out",
        )


def test_what_may_be_expected_of_a_department_is_always_measured(noise_studies, tmp_path):
    recipe = msgspec.structs.replace(SMALL, evaluation=EvaluationRecipe(resamples=100, severities=()))
    write_random_checkpoint(tmp_path / "checkpoint", recipe)
    steps = {"studies": noise_studies, "split": noise_studies, "checkpoint": tmp_path / "checkpoint"}
    evaluate(**steps, out=tmp_path / "evaluation")
    report = robustness(**steps, evaluation=tmp_path / "evaluation", out=tmp_path / "robustness")
    assert [(result.corruption, result.severity) for result in report.results] == list(PRESETS["clinical"])
    assert report.presets["clinical"]["accuracy_drop"].value is not None
    assert "severities" in report.presets["severe"]["accuracy_drop"].reason


@pytest.fixture(scope="module")
def films(noise_studies):
    index = StudyIndex.read(noise_studies)
    return load_films(noise_studies, index.part(Split.TEST), SMALL.preprocessing)


def corrupted(films, cell, seeds):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return corrupt_films(
            films, cell, seeds=seeds, preprocessing=SMALL.preprocessing, device=torch.device("cpu"), pool=pool
        )


def test_what_preprocessing_undoes_is_undone(films):
    """A shift of the window that clips nothing is taken back by the stretch of grey levels."""
    dim = (films.films * 0.5 + 20).astype(np.uint8)
    stretched = np.stack([network_input(film, SMALL.preprocessing) for film in dim])
    shifted = corrupted(dim, ("brightness_up", 3), film_seeds(films, seed=0))
    assert np.abs(shifted.astype(int) - stretched).max() <= 3


def test_corrupted_films_are_preprocessed_like_any_other(films):
    worse = corrupted(films.films, ("collimation", 4), film_seeds(films, seed=0))
    again = np.stack([network_input(film, SMALL.preprocessing) for film in worse])
    assert worse.dtype == np.uint8
    assert worse.shape == films.films.shape
    assert np.abs(worse.astype(int) - again).max() <= 2


def test_a_films_seed_is_its_own(films):
    seeds = film_seeds(films, seed=42)
    assert len(set(seeds)) == len(films)
    some = films.take(np.arange(len(films)) % 2 == 0)
    assert film_seeds(some, seed=42) == seeds[::2]
    assert set(film_seeds(films, seed=43)).isdisjoint(seeds)


def test_the_clinical_preset_is_whole_whatever_the_severities_of_the_recipe(run):
    _, _, report = run
    drops = {(r.corruption, r.severity): r.accuracy_drop.value for r in report.results}
    clinical = [drops[cell] for cell in PRESETS["clinical"]]
    assert report.presets["clinical"]["accuracy_drop"].value == pytest.approx(np.mean(clinical))
