import shutil

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score

from cxr.contracts.bundle import PictureGate
from cxr.contracts.evaluated import read_predictions
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.contracts.metrics import Calibration, MetricsReport
from cxr.contracts.recipe import EvaluationRecipe, Schedule
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import BundleError, ContractError
from cxr.evaluation.calibration import LabelledLogits, fit_shared_temperature, softmax
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import infer
from cxr.modeling.refit import read_unseen
from cxr.steps.evaluate import evaluate, evaluate_bundle, measured_by
from support.checkpoints import write_random_checkpoint
from support.scored import FINDINGS
from support.small_run import bundle_with_gate

PROBABILITIES = [f"probability_{finding}" for finding in FINDINGS]


@pytest.fixture(scope="module")
def run(noise_studies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    model = write_random_checkpoint(folder / "checkpoint")
    report = evaluate(
        studies=noise_studies, split=noise_studies, checkpoint=folder / "checkpoint", out=folder / "evaluation"
    )
    return folder, model, report


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def test_the_folder_is_whole(run):
    folder, model, report = run
    evaluation = folder / "evaluation"
    assert read_json(evaluation / "metrics.json", MetricsReport) == report
    assert (report.split, report.films, report.model) == ("test", 12, model.digest)
    figures = {path.name: size_of(path) for path in (evaluation / "figures").iterdir()}
    assert set(figures) == {
        *("confusion.png", "roc.png", "precision_recall.png", "reliability.png", "subgroups.png"),
        "risk_coverage.png",
    }
    assert min(min(size) for size in figures.values()) > 300


def test_the_table_holds_every_number_of_the_report(run):
    folder, _, report = run
    table = pd.read_csv(folder / "evaluation" / "metrics.csv", keep_default_na=False, na_values=[""])
    levels = table.set_index(["level", "name", "metric"])
    auroc = levels.loc[("finding", "Pneumonia", "auroc")]
    assert auroc["value"] == pytest.approx(report.per_class["Pneumonia"]["auroc"].value)
    point = levels.loc[("operating_point", "Tuberculosis/sensitivity_at_least/0.9", "specificity")]
    expected = report.operating_points["Tuberculosis/sensitivity_at_least/0.9"]["specificity"]
    assert point["low"] == pytest.approx(expected.low)
    assert set(table.loc[table["level"] == "subgroup", "name"]) >= {"source=a", "sex=F", "age_group=adult"}
    count = len(report.overall) + sum(
        len(group)
        for group in (
            *report.per_class.values(),
            *report.operating_points.values(),
            *(subgroup.metrics for subgroup in report.subgroups),
        )
    )
    assert len(table) == count


def test_predictions_are_the_networks_at_the_temperature_found(run, noise_studies):
    folder, model, report = run
    predictions = read_predictions(folder / "evaluation")
    assert predictions["split"].value_counts().to_dict() == {"validation": 12, "test": 12}
    test = predictions[predictions["split"] == "test"]
    films = load_films(noise_studies, StudyIndex.read(noise_studies).part(Split.TEST), model.recipe.preprocessing)
    assert test["image_id"].tolist() == films.index.films["image_id"].tolist()
    logits = infer(model.network, films.films).logits
    np.testing.assert_allclose(test[[f"logit_{f}" for f in FINDINGS]], logits, atol=1e-5)
    np.testing.assert_allclose(test[PROBABILITIES], softmax(logits, temperature=report.temperature), atol=1e-5)
    assert report.overall["accuracy"].value == accuracy_score(test["label"], test["decision"])


def test_calibration_never_sees_a_test_film(run, noise_studies, tmp_path):
    """Other labels of the test films change the metrics and leave temperature and thresholds as they are."""
    folder, _, report = run
    index = StudyIndex.read(noise_studies)
    films = index.films.copy()
    test = films["split"] == "test"
    films.loc[test, "label"] = films.loc[test, "label"].map(dict(zip(FINDINGS, FINDINGS[::-1], strict=True)))
    StudyIndex(films).write(tmp_path / "split")
    other = evaluate(
        studies=noise_studies, split=tmp_path / "split", checkpoint=folder / "checkpoint", out=tmp_path / "evaluation"
    )
    found, expected = (
        read_json(where / "evaluation" / "calibration.json", Calibration) for where in (tmp_path, folder)
    )
    assert found == expected
    assert other.per_class["Normal"]["auroc"].value != report.per_class["Normal"]["auroc"].value


def test_the_temperature_heeds_films_as_a_head_reads_them_that_does_not_know_their_source(run, noise_studies, tmp_path):
    _, model, plain = run
    evaluation = msgspec.structs.replace(model.recipe.evaluation, unseen_share=0.5)
    recipe = msgspec.structs.replace(model.recipe, evaluation=evaluation, schedule=Schedule(refit_head=True))
    write_random_checkpoint(tmp_path / "checkpoint", recipe)
    films = StudyIndex.read(noise_studies).films.copy()
    films.loc[films.index[films["split"] == "validation"][0], "label"] = None
    StudyIndex(films).write(tmp_path / "split")
    arguments = {"studies": noise_studies, "checkpoint": tmp_path / "checkpoint"}
    report = evaluate(**arguments, split=noise_studies, out=tmp_path / "evaluation")
    found = read_json(tmp_path / "evaluation" / "calibration.json", Calibration)
    assert (found.unseen_films, found.validation_films) == (12, 12)
    assert report.temperature == found.temperature != plain.temperature
    parts = {
        name: load_films(noise_studies, StudyIndex.read(noise_studies).part(name), recipe.preprocessing)
        for name in (Split.TRAIN, Split.VALIDATION)
    }
    known = parts[Split.VALIDATION]
    expected = fit_shared_temperature(
        LabelledLogits(infer(model.network, known.films).logits, known.labels),
        LabelledLogits(*read_unseen(model.network, recipe, parts[Split.TRAIN], known)),
        unseen_share=0.5,
    )
    assert found.temperature == pytest.approx(expected, rel=1e-4)
    evaluate(**arguments, split=tmp_path / "split", out=tmp_path / "fewer")
    assert read_json(tmp_path / "fewer" / "calibration.json", Calibration).unseen_films == 11


def test_unlabelled_films_are_predicted_and_not_measured(run, noise_studies, tmp_path):
    folder, _, _ = run
    films = StudyIndex.read(noise_studies).films.copy()
    rows = films.index[films["split"] == "test"]
    films.loc[rows[:3], "label"] = None
    StudyIndex(films).write(tmp_path / "split")
    arguments = {"studies": noise_studies, "split": tmp_path / "split", "checkpoint": folder / "checkpoint"}
    report = evaluate(**arguments, out=tmp_path / "evaluation")
    assert report.films == 9
    assert read_predictions(tmp_path / "evaluation")["label"].isna().sum() == 3
    films.loc[rows, "label"] = None
    StudyIndex(films).write(tmp_path / "split")
    with pytest.raises(ContractError, match="the test films must have labels"):
        evaluate(**arguments, out=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_bundle_gives_the_checkpoints_metrics_on_the_same_films(small_run, noise_studies, tmp_path):
    folder = small_run.folder
    expected = read_json(folder / "evaluation" / "metrics.json", MetricsReport)
    films = StudyIndex.read(noise_studies).films
    shutil.copytree(noise_studies / "images", tmp_path / "studies" / "images")
    StudyIndex(films[films["split"] == "test"].assign(split=None)).write(tmp_path / "studies")
    found = evaluate_bundle(bundle=folder / "bundle", data=str(tmp_path / "studies"), out=tmp_path / "out")
    assert found.model == file_digest(folder / "bundle" / "bundle.json")
    assert (found.films, found.split, found.confusion) == (12, "test", expected.confusion)
    for name, estimate in expected.overall.items():
        assert found.overall[name].value == pytest.approx(estimate.value, abs=1e-4)
        assert found.overall[name].low == pytest.approx(estimate.low, abs=1e-4)
    assert found.resamples == expected.resamples == 100, "as its recipe has it"
    assert found.temperature == expected.temperature
    assert found.selective.unlike_rate.value is not None
    assert found.selective.refer_rate.value >= found.selective.unlike_rate.value
    written = read_predictions(tmp_path / "out")
    assert set(written["split"]) == {"test"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in (folder / "evaluation").iterdir()
    }


def write_film(path, rng):
    grey = np.outer(np.hanning(140), np.hanning(140)) * 120 + rng.integers(0, 120, (140, 140))
    Image.fromarray(grey.astype(np.uint8)).save(path)


def test_films_of_sources_that_the_bundle_learnt_are_no_outside_test(small_run, noise_studies, tmp_path, caplog):
    given = {"bundle": small_run.folder / "bundle", "data": str(noise_studies)}
    evaluate_bundle(**given, out=tmp_path / "out")
    films = StudyIndex.read(noise_studies).films
    assert f"{films['source'].notna().sum()} of {len(films)} films are of sources that the bundle learnt" in caplog.text
    caplog.clear()
    evaluate_bundle(**given, split=noise_studies, out=tmp_path / "own")
    assert "learnt" not in caplog.text


def test_a_bundle_reads_anothers_index_and_tells_what_it_left_out(small_run, tmp_path, caplog):
    rng = np.random.default_rng(0)
    names = [f"film {number}.png" for number in range(8)]
    for name in names[:-1]:
        write_film(tmp_path / name, rng)
    labels = ["TB", "normal"] * 3 + ["COVID-19", "TB"]
    table = pd.DataFrame({"path": names, "label": labels, "source": ["a hospital far away"] * 5 + [None] * 3})
    table.to_parquet(tmp_path / "index.parquet")
    report = evaluate_bundle(bundle=small_run.folder / "bundle", data=str(tmp_path), out=tmp_path / "out")
    assert report.films == 6
    assert "sources that the bundle learnt" not in caplog.text
    rejected = pd.read_csv(tmp_path / "out" / "rejected.csv")
    assert dict(zip(rejected["name"], rejected["code"], strict=True)) == {
        "film 6.png": "unknown_label",
        "film 7.png": "unreadable",
    }
    kept = StudyIndex.read(tmp_path / "out").films
    assert set(kept["sha256"]) == {file_digest(tmp_path / name) for name in names[:6]}
    assert set(read_predictions(tmp_path / "out")["image_id"]) == set(kept["image_id"])


def test_a_bundle_reads_a_folder_of_pictures_without_one_finding(small_run, tmp_path):
    folder = small_run.folder
    rng = np.random.default_rng(0)
    for finding in ("Normal", "Tuberculosis"):
        (tmp_path / "films" / finding).mkdir(parents=True)
        for number in range(6):
            write_film(tmp_path / "films" / finding / f"{number}.png", rng)
    report = evaluate_bundle(bundle=folder / "bundle", data=str(tmp_path / "films"), out=tmp_path / "out")
    assert report.films == 12
    assert report.per_class["Pneumonia"]["auroc"].reason == "no film of Pneumonia"
    assert report.overall["macro_auroc"].value is not None
    assert sum(report.confusion[1]) == 0


def test_a_changed_bundle_is_refused(small_run, noise_studies, tmp_path):
    folder = small_run.folder
    shutil.copytree(folder / "bundle", tmp_path / "bundle")
    with (tmp_path / "bundle" / "model.onnx").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BundleError, match=r"changed \['model.onnx'\]"):
        evaluate_bundle(bundle=tmp_path / "bundle", data=str(noise_studies), out=tmp_path / "out")


def test_films_that_the_bundle_would_refuse_are_referred(small_run, noise_studies, tmp_path):
    shut = PictureGate(refuse_below=1.0, refer_below=1.0, refused_share=1.0, referred_share=1.0)
    report = evaluate_bundle(
        bundle=bundle_with_gate(small_run, tmp_path, shut), data=str(noise_studies), out=tmp_path / "out"
    )
    assert report.selective.unlike_rate.value == report.selective.refer_rate.value == 1
    assert report.selective.error.reason == "every film is referred"


@pytest.mark.parametrize(
    ("written", "resamples"),
    [
        ({"seed": 1, "evaluation": {"resamples": 150, "of_a_newer_version": 3}, "sections": {}}, 150),
        ({}, EvaluationRecipe().resamples),
        (None, EvaluationRecipe().resamples),
    ],
)
def test_a_bundle_is_measured_as_its_recipe_says_whatever_version_wrote_it(written, resamples, tmp_path):
    if written is not None:
        write_json(tmp_path / "reports" / "recipe.json", written)
    assert measured_by(tmp_path).evaluation.resamples == resamples


def test_a_recipe_that_cannot_be_read_is_named(tmp_path):
    write_json(tmp_path / "reports" / "recipe.json", {"evaluation": {"resamples": "many"}})
    with pytest.raises(BundleError, match=r"recipe\.json must be readable: .*; run `cxr package` again"):
        measured_by(tmp_path)


def test_studies_of_another_version_are_named(small_run, tmp_path):
    table = pa.table({"path": ["a.png"]}).replace_schema_metadata({"format": "cxr.studies/99"})
    pq.write_table(table, tmp_path / "index.parquet")
    with pytest.raises(ContractError, match=r"must be of format cxr.studies/1, is of cxr.studies/99"):
        evaluate_bundle(bundle=small_run.folder / "bundle", data=str(tmp_path), out=tmp_path / "out")
