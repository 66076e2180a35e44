import msgspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr.contracts.evaluated import read_predictions, write_predictions
from cxr.contracts.files import read_json
from cxr.contracts.metrics import LocalisationReport
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.explain.localisation import score_lesion
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import infer
from cxr.steps.explain import explain, sheet_rows
from support.checkpoints import SMALL, write_random_checkpoint


@pytest.fixture(scope="module")
def report(small_run):
    return read_json(small_run.folder / "explanation" / "localisation.json", LocalisationReport)


def test_only_films_with_a_lesion_are_scored(small_run, report):
    test = small_run.index.part(Split.TEST).films
    assert report.films == len(test)
    assert report.masked_films == (test["label"] == "Pneumonia").sum()
    assert set(report.per_class) == {"Pneumonia"}
    assert (report.model, report.index) == (small_run.model.digest, small_run.index.digest)
    assert report.lesion_area.value == pytest.approx(0.25)


def test_scores_are_of_the_map_of_the_true_finding(small_run, report):
    index = small_run.index.part(Split.TEST)
    films = load_films(small_run.folder / "studies", index, small_run.model.recipe.preprocessing)
    maps = infer(small_run.model.network, films.films, maps=True).maps
    lesion = np.zeros((40, 40), np.bool_)
    lesion[:20, :20] = True
    scores = [score_lesion(maps[row, 1], lesion) for row in np.flatnonzero(films.labels == 1)]
    for name in ("pointing_game", "pointing_chance", "energy_inside"):
        assert getattr(report, name).value == pytest.approx(np.mean([getattr(score, name) for score in scores]))


def test_captum_agrees(report):
    assert report.analytic_cosine > 0.999


def test_the_sheet_and_its_overlays_are_written(small_run):
    explanation, test = small_run.folder / "explanation", small_run.index.part(Split.TEST).films
    overlays = sorted((explanation / "overlays").glob("*.png"))
    assert {path.stem for path in overlays} <= set(test["image_id"])
    assert len(overlays) == len(test), "every finding has four test films here, and the sheet shows four of each"
    with Image.open(overlays[0]) as picture:
        assert (picture.mode, picture.size) == ("RGB", (32, 32))
    with Image.open(explanation / "figures" / "activation_maps.png") as sheet:
        assert sheet.width > 1000


def test_without_masks_the_maps_are_drawn_and_the_scores_undefined(small_run, noise_studies, tmp_path):
    paths = small_run.paths("checkpoint", "evaluation")
    report = explain(studies=noise_studies, split=noise_studies, **paths, out=tmp_path / "explanation")
    assert report.masked_films == 0
    assert report.per_class == {}
    assert report.pointing_game.value is None
    assert report.pointing_game.reason
    assert (tmp_path / "explanation" / "figures" / "activation_maps.png").exists()


def test_an_evaluation_of_other_films_is_refused(small_run, tmp_path):
    run = small_run.copy(tmp_path / "run")
    path = run.folder / "evaluation" / "predictions.parquet"
    predictions = read_predictions(run.folder / "evaluation")
    write_predictions(path.parent, predictions[predictions["split"] != "test"], run.model.findings)
    with pytest.raises(ContractError, match=r"must hold a decision for every labelled test film, lacks 12 of 12"):
        explain(**run.paths("studies", "split", "checkpoint", "evaluation"), out=tmp_path / "explanation")


def test_an_evaluation_of_another_checkpoint_is_refused(small_run, tmp_path):
    write_random_checkpoint(tmp_path / "checkpoint", msgspec.structs.replace(SMALL, seed=7))
    paths = small_run.paths("studies", "split", "evaluation")
    with pytest.raises(ContractError, match="must be of checkpoint"):
        explain(**paths, checkpoint=tmp_path / "checkpoint", out=tmp_path / "explanation")


def test_the_sheet_prefers_confident_mistakes_and_draws_the_rest_at_random():
    rows = pd.DataFrame(
        {
            "label": ["Normal"] * 12,
            "decision": ["Normal"] * 8 + ["Pneumonia"] * 4,
            "probability": [0.9] * 8 + [0.4, 0.8, 0.5, 0.7],
        }
    )
    assert sheet_rows(rows, "Normal", 1)[2:] == [9, 11]
    drawn = {tuple(sheet_rows(rows, "Normal", seed)[:2]) for seed in range(20)}
    assert len(drawn) > 5
    assert sheet_rows(rows, "Normal", 1) == sheet_rows(rows, "Normal", 1)
    assert sheet_rows(rows.head(8), "Normal", 1) == sorted(set(sheet_rows(rows.head(8), "Normal", 1)))
    assert len(sheet_rows(rows.head(8), "Normal", 1)) == 4
    assert sheet_rows(rows.tail(5).reset_index(drop=True), "Normal", 1) == [0, 2, 4, 3]
    assert sheet_rows(rows, "Tuberculosis", 1) == []
