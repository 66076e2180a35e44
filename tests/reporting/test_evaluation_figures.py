import io

import numpy as np
import pandas as pd
import pytest

from cxr.contracts.recipe import EvaluationRecipe
from cxr.evaluation.assess import assess
from cxr.evaluation.thresholds import fit_calibration
from cxr.reporting.evaluation_figures import draw_confusion, draw_evaluation, draw_roc, draw_subgroups
from support.scored import FINDINGS, draw_films, draw_logits

RECIPE = EvaluationRecipe(resamples=100)
CALIBRATION = fit_calibration(*draw_logits(200, seed=8), findings=FINDINGS, recipe=RECIPE)


def evaluated(films, **columns):
    attributes = pd.DataFrame({name: [None] * len(films) for name in ("source", "view", "sex", "age_group")})
    return assess(
        films, attributes.assign(**columns), calibration=CALIBRATION, recipe=RECIPE, seed=0, index="i", model="m"
    )


def words(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("findings", [1, 2, 3])
@pytest.mark.parametrize("films", [1, 7, 90])
def test_every_figure_can_be_drawn_of_whatever_films(films, findings):
    scored = draw_films(films, findings=findings)
    report = evaluated(scored, source="a", sex=(["F", None] * 45)[:films])
    figures = draw_evaluation(scored, report, CALIBRATION, recipe=RECIPE, seed=0)
    assert set(figures) == {"confusion", "roc", "precision_recall", "reliability", "subgroups", "risk_coverage"}
    for figure in figures.values():
        figure.savefig(io.BytesIO(), dpi=40)


def test_the_confusion_matrix_shows_counts_and_shares_of_rows():
    report = evaluated(draw_films(90))
    shown = words(draw_confusion(report).axes[0])
    matrix = np.array(report.confusion)
    expected = []
    for row in matrix:
        for count in row:
            expected += [f"{count}", f"{100 * count / row.sum():.1f}%"]
    assert shown == expected


def test_roc_panels_show_the_curve_and_what_thresholds_reach_on_these_films():
    films = draw_films(90)
    report = evaluated(films)
    panels = draw_roc(films, report, CALIBRATION, recipe=RECIPE, seed=0).axes
    assert [panel.get_title() for panel in panels] == list(FINDINGS)
    for finding, panel in zip(FINDINGS, panels, strict=True):
        (curve,) = (line for line in panel.lines if line.get_label().startswith("AUROC"))
        area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
        assert area == pytest.approx(report.per_class[finding]["auroc"].value)
        marked = {line.get_label(): line for line in panel.lines if line.get_marker() in ("o", "^", "s")}
        assert set(marked) == {"Youden", "sensitivity ≥ 90%", "specificity ≥ 70%", "specificity ≥ 95%"}
        measured = report.operating_points[f"{finding}/sensitivity_at_least/0.9"]
        point = marked["sensitivity ≥ 90%"]
        assert point.get_ydata() == pytest.approx([measured["sensitivity"].value])
        assert point.get_xdata() == pytest.approx([1 - measured["specificity"].value])
    assert ["WHO" in " ".join(p.get_label() for p in panel.patches) for panel in panels] == [False, False, True]


def test_the_forest_says_which_subgroups_are_undefined():
    films = draw_films(90)
    report = evaluated(films, source=np.where(films.labels == 0, "healthy", "mixed"))
    accuracy, auroc = draw_subgroups(report).axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == [
        "All films  (n = 90)",
        f"Source: healthy  (n = {(films.labels == 0).sum()})",
        f"Source: mixed  (n = {(films.labels > 0).sum()})",
    ]
    assert words(accuracy) == []
    assert words(auroc) == ["undefined"]
