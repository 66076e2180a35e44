"""Leaving sources out of a split."""

import pandas as pd
import pytest
from hypothesis import given, settings

from cxr.evaluation.unseen import FEWEST
from cxr.steps.split import in_fold
from support.cohorts import cohort, cohorts, folds_of, frame


def of_groups(groups: dict[tuple[str, str], int]) -> pd.DataFrame:
    """Films of one patient each, so many of a source and label."""
    return frame(
        [
            {"name": f"{source}{label}{number}", "source": source, "label": label}
            for (source, label), count in groups.items()
            for number in range(count)
        ]
    )


class TestFolds:
    @settings(max_examples=20)
    @given(cohorts())
    def test_withhold_every_source_and_divide_the_rest_by_patient(self, films: pd.DataFrame) -> None:
        index, folds = folds_of(films)
        sources = set(films["source"])
        assert {name for fold in folds for name in fold.withheld} == (sources if len(sources) > 1 else set())
        assert len({fold.withheld for fold in folds}) == len(folds)
        assert all(len(fold.withheld) <= 2 for fold in folds)
        for fold in folds:
            result = in_fold(index, fold).films
            assert set(result["image_id"][result["split"] == "test"]) == set(
                films["image_id"][films["source"].isin(fold.withheld)]
            )
            assert result.groupby("patient_id")["split"].nunique().max() == 1
            counts = result["split"].value_counts()
            assert (counts["test"], counts["train"]) == (fold.test_films, fold.train_films)
            share = (len(fold.validation) + fold.train_films) / 9
            assert len(fold.validation) == pytest.approx(share, abs=3 * int(films.groupby("group_id").size().max()))
            assert set(fold.test_findings) == set(result["label"][result["split"] == "test"])
            assert set(fold.train_findings) == set(result["label"][result["split"] == "train"])

    def test_a_source_that_lacks_a_finding_is_withheld_with_those_that_complete_it(self) -> None:
        groups = {
            ("a", "Normal"): 30, ("a", "Pneumonia"): 20, ("b", "Normal"): 20, ("b", "Pneumonia"): 40,
            ("c", "Tuberculosis"): 30, ("d", "Tuberculosis"): 25, ("d", "Normal"): FEWEST - 1,
            ("e", "Normal"): 20, ("e", "Pneumonia"): 20, ("e", "Tuberculosis"): 20,
        }  # fmt: skip
        _, folds = folds_of(of_groups(groups))
        assert [fold.withheld for fold in folds] == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("e",)]

    def test_a_source_is_withheld_alone_where_the_rest_would_lack_a_finding(self) -> None:
        groups = {("a", "Normal"): 30, ("b", "Normal"): 20, ("b", "Pneumonia"): 30, ("c", "Tuberculosis"): 30}
        assert [fold.withheld for fold in folds_of(of_groups(groups))[1]] == [("a",), ("b",), ("c",)]

    def test_linked_sources_are_withheld_together_through_any_chain(self) -> None:
        _, folds = folds_of(
            cohort(patients=240, sources=4),
            linked_sources=(("source 0", "source 2"), ("source 3", "source 2"), ("source 1", "nowhere")),
        )
        assert [fold.withheld for fold in folds] == [("source 0", "source 2", "source 3"), ("source 1",)]

    def test_one_set_of_linked_sources_leaves_nothing_to_train_on(self) -> None:
        assert folds_of(cohort(patients=60, sources=2), linked_sources=(("source 0", "source 1"),))[1] == ()

    def test_films_that_could_be_of_the_withheld_source_are_in_no_part(self) -> None:
        films = cohort(patients=60, mixed=0)
        films.loc[films["patient_id"] == "p0", "source"] = None
        films.loc[films["patient_id"] == "p1", "source"] = ["source 0", "source 1", "source 1", "source 1"][
            : (films["patient_id"] == "p1").sum()
        ]
        films.loc[films["patient_id"] == "p2", "label"] = None
        index, folds = folds_of(films)
        result = in_fold(index, folds[0]).films
        of = {name: result[result["patient_id"] == name] for name in ("p0", "p1", "p2")}
        assert of["p0"]["split"].isna().all()
        assert of["p2"]["split"].isna().all()
        assert (
            of["p1"]["split"].fillna("none") == of["p1"]["source"].map({"source 0": "test", "source 1": "none"})
        ).all()
        unlabelled = set(of["p2"]["image_id"])
        assert set(folds[0].excluded) == set(result["image_id"][result["split"].isna()]) - unlabelled

    def test_findings_keep_the_order_of_the_taxonomy(self) -> None:
        films = frame(
            [{"name": n, "source": "ab"[n % 2], "label": ["Tuberculosis", "Normal"][n % 2]} for n in range(40)]
        )
        _, (a, b) = folds_of(films)
        assert (a.test_findings, a.train_findings) == (("Tuberculosis",), ("Normal",))
        assert (b.test_findings, b.train_findings) == (("Normal",), ("Tuberculosis",))
