import numpy as np
import pandas as pd
import pytest

from cxr.evaluation.bases import OVERALL
from cxr.evaluation.bootstrap import bootstrap, estimate
from cxr.evaluation.measures import BriefMeasures
from cxr.evaluation.subgroups import measure_subgroups
from support.scored import FINDINGS, draw_films

FILMS = draw_films(120)


def table(**columns):
    return pd.DataFrame(
        {name: columns.get(name, [None] * len(FILMS)) for name in ("source", "view", "sex", "age_group")}
    ).astype(pd.StringDtype())


def by_name(**columns):
    groups = measure_subgroups(FILMS, table(**columns), resamples=100, seed=3)
    return {(group.attribute, group.value): group for group in groups}


def test_subgroups_part_the_films_of_every_attribute():
    groups = by_name(source=list("abc") * 40, sex=["F", None] * 60)
    assert list(groups) == [("source", "a"), ("source", "b"), ("source", "c"), ("sex", "F"), ("sex", "unknown")]
    for attribute in ("source", "sex"):
        assert sum(group.films for (name, _), group in groups.items() if name == attribute) == 120
    assert groups["source", "a"].patients == len(set(FILMS.patients[::3]))


def test_a_subgroup_is_measured_as_if_it_were_all():
    group = by_name(source=list("abc") * 40)["source", "b"]
    alone = FILMS.take(np.arange(120) % 3 == 1)
    measures = BriefMeasures(alone)
    drawn = bootstrap(measures, alone.patients, resamples=100, seed=3)
    for name in ("accuracy", "macro_auroc", "macro_recall"):
        assert group.metrics[name] == estimate(drawn[OVERALL, name], measures.bases[OVERALL, name])


def test_an_attribute_that_nobody_knows_makes_no_subgroup():
    assert by_name() == {}


def test_a_subgroup_of_one_finding_says_why_it_has_no_auroc():
    source = np.where(FILMS.labels == 0, "healthy", "mixed")
    groups = by_name(source=source)
    healthy = groups["source", "healthy"].metrics
    assert healthy["macro_auroc"].reason == "only one finding among these films"
    assert healthy["recall_Normal"].value == pytest.approx(healthy["accuracy"].value)
    assert "recall_Tuberculosis" not in healthy
    assert {f"recall_{finding}" for finding in FINDINGS[1:]} <= set(groups["source", "mixed"].metrics)
