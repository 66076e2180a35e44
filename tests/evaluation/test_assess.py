import math

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

from cxr.contracts.files import read_json, write_json
from cxr.contracts.metrics import MetricsReport
from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.assess import assess
from cxr.evaluation.thresholds import fit_calibration
from support.scored import FINDINGS, draw_films, draw_logits

RECIPE = EvaluationRecipe(resamples=200)


def calibration(quality=2.0):
    return fit_calibration(*draw_logits(300, quality=quality, seed=99), findings=FINDINGS, recipe=RECIPE)


def attributes(films, **columns):
    frame = pd.DataFrame({name: [None] * len(films) for name in ("source", "view", "sex", "age_group")})
    return frame.assign(**columns)


def report_on(films, **columns):
    return assess(
        films, attributes(films, **columns), calibration=calibration(), recipe=RECIPE, seed=1, index="i", model="m"
    )


def estimates(report):
    for group in (report.overall, *report.per_class.values(), *report.operating_points.values()):
        yield from group.items()
    for subgroup in report.subgroups:
        yield from subgroup.metrics.items()


def test_values_are_those_of_sklearn():
    films = draw_films(300)
    report = report_on(films)
    decisions, truth = films.decisions, np.eye(3)[films.labels]
    expected = {
        "accuracy": oracle.accuracy_score(films.labels, decisions),
        "macro_precision": oracle.precision_score(films.labels, decisions, average="macro"),
        "macro_recall": oracle.balanced_accuracy_score(films.labels, decisions),
        "macro_f1": oracle.f1_score(films.labels, decisions, average="macro"),
        "macro_auroc": oracle.roc_auc_score(films.labels, films.probabilities, multi_class="ovr"),
        "macro_auprc": oracle.average_precision_score(truth, films.probabilities, average="macro"),
        "log_loss": oracle.log_loss(films.labels, films.probabilities),
    }
    for name, value in expected.items():
        assert report.overall[name].value == pytest.approx(value), name
    assert [list(row) for row in report.confusion] == oracle.confusion_matrix(films.labels, decisions).tolist()
    tuberculosis = report.per_class["Tuberculosis"]
    assert tuberculosis["auroc"].value == pytest.approx(
        oracle.roc_auc_score(films.labels == 2, films.probabilities[:, 2])
    )
    pair = films.labels != 1
    odds = films.probabilities[pair, 2] / films.probabilities[pair, 0]
    assert tuberculosis["auroc_against_normal"].value == pytest.approx(
        oracle.roc_auc_score(films.labels[pair] == 2, odds)
    )
    assert tuberculosis["auroc_against_normal"].value != pytest.approx(tuberculosis["auroc"].value, abs=1e-6)
    assert "auroc_against_normal" not in report.per_class["Normal"]
    assert (report.films, report.patients) == (300, len(set(films.patients)))


def test_the_report_has_what_its_contract_says_and_survives_a_file(tmp_path):
    report = report_on(draw_films(200))
    assert set(report.overall) == {
        *("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auroc", "macro_auprc"),
        *("ece", "brier", "log_loss"),
    }
    assert set(report.per_class["Tuberculosis"]) == {
        *("precision", "recall", "f1", "auroc", "auroc_against_normal", "auprc", "specificity"),
        *(f"sensitivity_at_specificity_{percent}" for percent in (95, 90, 70)),
        *(f"specificity_at_sensitivity_{percent}" for percent in (95, 90)),
    }
    assert set(report.operating_points) == {
        f"{finding}/{rule}"
        for finding in FINDINGS
        for rule in (
            "youden",
            "sensitivity_at_least/0.9",
            "specificity_at_least/0.7",
            "specificity_at_least/0.95",
        )
    }
    write_json(tmp_path / "metrics.json", report)
    assert read_json(tmp_path / "metrics.json", MetricsReport) == report


@pytest.mark.parametrize("findings", [1, 2, 3])
@pytest.mark.parametrize("films", [1, 3, 40])
@pytest.mark.parametrize("quality", [0.0, 2.0, 50.0])
def test_every_estimate_is_whole(findings, films, quality):
    """Null exactly with a reason, never NaN, and inside its own interval, however few the films."""
    report = report_on(draw_films(films, quality=quality, findings=findings), sex="F")
    for name, value in estimates(report):
        assert (value.value is None) == (value.reason is not None), name
        if value.value is None:
            assert value.low is value.high is None
            continue
        assert math.isfinite(value.value)
        if value.low is not None:
            assert value.low - 1e-9 <= value.value <= value.high + 1e-9 or films < 40, name


def test_an_absent_finding_is_undefined_and_left_out_of_the_averages():
    films = draw_films(200, findings=2)
    report = report_on(films)
    absent, present = report.per_class["Tuberculosis"], report.per_class["Pneumonia"]
    for name in (
        "recall",
        "f1",
        "auroc",
        "auroc_against_normal",
        "auprc",
        "sensitivity_at_specificity_70",
        "specificity_at_sensitivity_90",
    ):
        assert absent[name].value is None
        assert absent[name].reason == "no film of Tuberculosis"
    assert absent["specificity"].value is not None
    assert report.operating_points["Tuberculosis/youden"]["sensitivity"].reason == "no film of Tuberculosis"
    both = [report.per_class[finding]["auroc"].value for finding in FINDINGS[:2]]
    assert report.overall["macro_auroc"].value == pytest.approx(np.mean(both))
    assert present["auroc"].reason is None


def test_one_finding_alone_has_an_accuracy_and_no_macro_average():
    report = report_on(draw_films(50, findings=1))
    assert report.overall["accuracy"].value is not None
    assert report.overall["macro_auroc"].reason == "only one finding among these films"
    assert report.per_class["Normal"]["auroc"].reason == "no film without Normal"


def test_without_normal_films_nothing_is_told_from_them():
    drawn = draw_films(200)
    report = report_on(drawn.take(drawn.labels == 1))
    for finding in ("Pneumonia", "Tuberculosis"):
        assert report.per_class[finding]["auroc_against_normal"].reason == "no film of Normal"


def test_perfect_films_get_intervals_that_their_number_allows():
    films = draw_films(60, quality=60)
    report = report_on(films)
    patients = report.patients
    assert report.overall["accuracy"].value == 1
    assert report.overall["accuracy"].low == pytest.approx(0.025 ** (1 / patients))
    assert 0.8 < report.overall["macro_auroc"].low < 1


def test_the_same_seed_gives_the_same_report():
    assert report_on(draw_films(80), sex="F") == report_on(draw_films(80), sex="F")


def test_intervals_are_wider_when_patients_have_more_films():
    """Ten copies of every film add no information when they are known to be of the same patients."""
    films = draw_films(60, quality=1)
    copies = type(films)(
        np.tile(films.labels, 10), np.tile(films.probabilities, (10, 1)), np.tile(films.patients, 10), FINDINGS
    )
    once, often = (report_on(f).overall["macro_auroc"] for f in (films, copies))
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low == pytest.approx(once.high - once.low)
