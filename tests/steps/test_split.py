from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe, SplitRecipe
from cxr.contracts.split import Folds, SplitReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.errors import SplitError
from cxr.steps.split import split, split_index
from cxr.steps.split.groups import check_separate, join_groups
from support.cohorts import cohort, cohorts, folds_of, frame

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def divided(films: pd.DataFrame, *, seed: int = 42, **recipe: object) -> pd.DataFrame:
    return split_index(StudyIndex(films), recipe=SplitRecipe(**recipe), seed=seed).films


def deviation(films: pd.DataFrame) -> float:
    """Most films by which a class in a part differs from its share."""
    counts = pd.crosstab(films["label"], films["split"])
    goal = np.outer(counts.sum(axis=1), [SHARES[part] for part in counts.columns])
    return float(np.abs(counts.to_numpy() - goal).max())


class TestProperties:
    @settings(max_examples=40)
    @given(cohorts(), st.integers(0, 100))
    def test_patients_stay_together_and_every_class_is_everywhere(self, films: pd.DataFrame, seed: int) -> None:
        result = divided(films, seed=seed)
        assert result["split"].notna().all()
        assert result.groupby("patient_id")["split"].nunique().max() == 1
        assert result.groupby("group_id")["split"].nunique().max() == 1
        assert (pd.crosstab(result["label"], result["split"]).to_numpy() > 0).all()

    @settings(max_examples=40)
    @given(cohorts(), st.integers(0, 100))
    def test_shares_are_within_two_groups(self, films: pd.DataFrame, seed: int) -> None:
        largest = films.groupby("group_id").size().max()
        assert deviation(divided(films, seed=seed)) <= 2 * largest

    @settings(max_examples=20)
    @given(cohorts(), st.integers(0, 100))
    def test_depends_on_films_and_seed_alone(self, films: pd.DataFrame, seed: int) -> None:
        shuffled = films.sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(divided(films, seed=seed), divided(shuffled, seed=seed))

    def test_another_seed_gives_another_split(self) -> None:
        films = cohort(patients=200)
        assert (divided(films, seed=1)["split"] != divided(films, seed=2)["split"]).any()


class TestBalance:
    def test_no_worse_than_scikit_learn(self) -> None:
        ours, theirs = [], []
        for seed in range(5):
            films = cohort(patients=400, seed=seed, weights=(0.6, 0.3, 0.1))
            folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed).split(
                films, films["label"] + films["source"], films["group_id"]
            )
            (_, test), (_, validation), *_ = folds
            other = films.assign(split="train")
            other.loc[test, "split"] = "test"
            other.loc[validation, "split"] = "validation"
            ours.append(deviation(divided(films)))
            theirs.append(deviation(other))
        assert np.mean(ours) <= np.mean(theirs)
        assert max(ours) <= 1.5

    def test_single_films_are_divided_to_the_film(self) -> None:
        films = cohort(patients=3000, most=1, sources=4, weights=(0.6, 0.3, 0.1))
        result = divided(films)
        assert deviation(result) <= 1
        strata = pd.crosstab([result["label"], result["source"]], result["split"])
        goal = np.outer(strata.sum(axis=1), [SHARES[part] for part in strata.columns])
        assert np.abs(strata.to_numpy() - goal).max() <= 1.5

    def test_a_thousand_small_sources_do_not_empty_the_test_part(self) -> None:
        films = cohort(patients=1500, most=1, sources=1000)
        assert deviation(divided(films)) <= 2

    def test_patients_with_many_films_are_in_every_part_alike(self) -> None:
        result = divided(cohort(patients=1000, most=8))
        sizes = result.groupby(["split", "group_id"], observed=True).size().groupby("split").mean()
        assert sizes.max() / sizes.min() < 1.1

    def test_a_patient_with_half_of_all_films_is_for_training_and_is_reported(self, tmp_path: Path) -> None:
        rest = cohort(patients=90, most=1, mixed=0)
        giant = frame([{"name": f"giant {n}", "group_id": "giant", "label": "Normal"} for n in range(90)])
        StudyIndex(pd.concat([rest, giant])).write(tmp_path / "studies")
        report = split(
            studies=tmp_path / "studies", out=tmp_path / "split", recipe=Recipe(split=SplitRecipe(train=0.6))
        )
        films = StudyIndex.read(tmp_path / "split").films
        assert set(films["split"][films["group_id"] == "giant"]) == {"train"}
        assert report.largest_group == 90
        assert any("of the Normal films instead of" in caveat for caveat in report.caveats)

    def test_other_shares(self) -> None:
        result = divided(cohort(patients=1000, most=1), train=0.5, validation=0.2)
        assert result["split"].value_counts(normalize=True).to_dict() == pytest.approx(
            {"train": 0.5, "test": 0.3, "validation": 0.2}, abs=0.002
        )


class TestRareClasses:
    def test_three_patients_are_enough_for_a_class(self) -> None:
        rare = frame([{"name": f"tb {n}", "label": "Tuberculosis"} for n in range(3)])
        common = cohort(patients=60, weights=(0.5, 0.5, 0), mixed=0)
        result = divided(pd.concat([rare, common]))
        assert set(result["split"][result["label"] == "Tuberculosis"]) == set(Split)

    @pytest.mark.parametrize("patients", [0, 1, 2])
    def test_fewer_are_not(self, patients: int) -> None:
        rows = [
            {"name": f"tb {p} {n}", "label": "Tuberculosis", "patient_id": f"t{p}"}
            for p in range(patients)
            for n in range(9)
        ]
        common = cohort(patients=60, weights=(0.5, 0.5, 0), mixed=0)
        with pytest.raises(SplitError, match=f"Tuberculosis must have films of at least 3 patients.*has {patients}"):
            divided(pd.concat([frame(rows), common]))

    @pytest.mark.parametrize("seed", range(10))
    def test_patients_with_two_rare_classes_each_are_laid_out_so_that_none_is_missing(self, seed: int) -> None:
        normal, pneumonia, tuberculosis = TAXONOMY.findings
        patients = [(normal, pneumonia), (pneumonia, tuberculosis), (normal, tuberculosis), *((f,) for f in TAXONOMY)]
        rows = [
            {"name": f"{p} {label}", "label": label, "patient_id": f"p{p}"}
            for p, findings in enumerate(patients)
            for label in findings
        ]
        result = divided(frame(rows), seed=seed)
        assert (pd.crosstab(result["label"], result["split"]).to_numpy() > 0).all()

    def test_what_cannot_be_laid_out_is_refused(self) -> None:
        normal, pneumonia, tuberculosis = TAXONOMY.findings
        patients = [(normal, pneumonia)] * 2 + [(pneumonia, tuberculosis)] + [(normal, tuberculosis)] * 2
        rows = [
            {"name": f"{p} {label}", "label": label, "patient_id": f"p{p}"}
            for p, findings in enumerate(patients)
            for label in findings
        ]
        with pytest.raises(SplitError, match="would have none of"):
            divided(frame(rows))


class TestGroups:
    @settings(max_examples=100)
    @given(
        st.lists(
            st.tuples(st.integers(1, 12), st.none() | st.integers(1, 12), st.none() | st.integers(1, 3)),
            min_size=1,
            max_size=40,
        )
    )
    def test_join_as_connected_components_do(self, keys: list[tuple[int, int | None, int | None]]) -> None:
        rows = [
            {"group_id": f"g{group}", "patient_id": patient and f"p{patient}", "study_id": study and f"s{study}"}
            for group, patient, study in keys
        ]
        films = frame(rows)
        nodes: dict[str, int] = {}
        edges = []
        patients = {(study, patient) for _, patient, study in keys if patient}
        for number, row in enumerate(rows):
            shared = sum(study == keys[number][2] for study, _ in patients) > 1
            study = None if row["patient_id"] and shared else row["study_id"]
            for key in (row["group_id"], row["patient_id"], study):
                if key:
                    edges.append((number, len(rows) + nodes.setdefault(key, len(nodes))))
        size = len(rows) + len(nodes)
        start, end = np.array(edges).T
        _, expected = connected_components(coo_array((np.ones(len(edges)), (start, end)), shape=(size, size)), False)
        joined = join_groups(films)
        pairs = pd.Series(expected[: len(rows)]).groupby(joined.to_numpy()).nunique()
        assert (pairs == 1).all()
        assert joined.nunique() == len(set(expected[: len(rows)]))

    @pytest.mark.parametrize(
        ("patients", "groups"),
        [
            (["p1", None, None], [0, 0, 0]),
            ([None, "p1", "p1"], [0, 0, 0]),
            (["p1", "p2", None, None], [0, 1, 2, 2]),
            (["p1", "p2", "p1"], [0, 1, 0]),
        ],
        ids=["one named", "one unnamed", "number of two patients", "number of two patients, all named"],
    )
    def test_a_study_joins_its_films_unless_it_is_a_number_of_several_patients(
        self, patients: list[str | None], groups: list[int]
    ) -> None:
        films = frame([{"patient_id": patient, "study_id": "1", "source": "a"} for patient in patients])
        assert pd.factorize(join_groups(films))[0].tolist() == groups

    def test_a_study_that_names_its_patient_once_joins_it_to_the_films_of_that_patient(self) -> None:
        films = frame(
            [{"study_id": "1"}, {"study_id": "1", "patient_id": "p1"}, {"study_id": "2", "patient_id": "p1"}, {}]
        )
        assert pd.factorize(join_groups(films))[0].tolist() == [0, 0, 0, 1]

    def test_studies_of_two_sources_may_have_one_number(self) -> None:
        films = frame(
            [{"study_id": "1", "source": "a"}, {"study_id": "1", "source": "b"}, {"study_id": "1", "source": "a"}]
        )
        assert join_groups(films).nunique() == 2

    def test_the_split_index_names_joined_groups_once(self) -> None:
        films = cohort(patients=60)
        films["group_id"] = [f"g{n}" for n in range(len(films))]  # as if ingestion had joined nothing
        result = divided(films)
        assert result.groupby("patient_id")["group_id"].nunique().max() == 1
        assert result["group_id"].nunique() == 60

    def test_a_straddling_patient_is_found(self) -> None:
        films = divided(cohort(patients=60))
        check_separate(films)
        films.loc[films["patient_id"] == films["patient_id"].iloc[0], "patient_id"] = "same"
        films.loc[films["split"] == "test", "patient_id"] = "same"
        with pytest.raises(SplitError, match=r"one patient_id must be in one part of the split, 1 of \d+ are not"):
            check_separate(films)


class TestStep:
    def test_writes_index_report_and_folds(self, tmp_path: Path) -> None:
        films = cohort(patients=80)
        films.loc[:4, "label"] = None
        films.loc[5:9, "patient_id"] = None
        StudyIndex(films).write(tmp_path / "studies")
        recipe = Recipe(seed=7, split=SplitRecipe(linked_sources=(("source 0", "source 1", "elsewhere"),)))
        report = split(studies=tmp_path / "studies", out=tmp_path / "split", recipe=recipe)
        before, after = StudyIndex.read(tmp_path / "studies"), StudyIndex.read(tmp_path / "split")
        assert report == read_json(tmp_path / "split/split.json", SplitReport)
        assert (report.seed, report.studies, report.index) == (7, before.digest, after.digest)
        assert (report.films, report.unlabelled, report.patient_unknown) == (len(films) - 5, 5, 5)
        assert after.films["split"].isna().tolist() == after.films["label"].isna().tolist()
        kept = [name for name in films.columns if name not in ("split", "group_id")]
        pd.testing.assert_frame_equal(after.films[kept], before.films[kept])
        expected = after.films.groupby(["split", "label", "source"]).agg(
            films=("image_id", "size"), groups=("group_id", "nunique")
        )
        assert {(r.split, r.label, r.source): (r.films, r.groups) for r in report.counts} == {
            key: tuple(row) for key, row in zip(expected.index, expected.to_numpy(), strict=True)
        }
        assert len(report.caveats) == 3
        folds = read_json(tmp_path / "split/folds.json", Folds)
        assert [fold.withheld for fold in folds.folds] == [("source 0", "source 1"), ("source 2",)]
        assert folds.index == after.digest

    def test_patients_who_are_numbered_alike_in_two_sources_are_told(self, tmp_path: Path) -> None:
        def told(films: pd.DataFrame) -> list[str]:
            StudyIndex(films).write(tmp_path / "studies")
            report = split(studies=tmp_path / "studies", out=tmp_path / "split", recipe=Recipe())
            return [caveat for caveat in report.caveats if "more than one source" in caveat]

        films = cohort(patients=60)
        assert told(films) == []
        alike = films["source"].isin(["source 0", "source 1"]) & (films.groupby("source").cumcount() == 0)
        (caveat,) = told(films.assign(patient_id=films["patient_id"].mask(alike, "7")))
        assert caveat.startswith("1 values of patient_id")

    def test_writes_the_same_bytes_again(self, tmp_path: Path) -> None:
        StudyIndex(cohort(patients=60)).write(tmp_path / "studies")
        for out in ("a", "b"):
            split(studies=tmp_path / "studies", out=tmp_path / out, recipe=Recipe())
        for name in ("index.parquet", "split.json", "folds.json"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def test_writes_nothing_when_it_fails(self, tmp_path: Path) -> None:
        StudyIndex(cohort(patients=60, weights=(1, 0, 0), mixed=0)).write(tmp_path / "studies")
        with pytest.raises(SplitError, match="Pneumonia"):
            split(studies=tmp_path / "studies", out=tmp_path / "split", recipe=Recipe())
        assert not (tmp_path / "split").exists()

    @pytest.mark.parametrize(("train", "validation"), [(0.8, 0.3), (0.7, 0.3)])
    def test_shares_that_leave_no_test_films(self, train: float, validation: float) -> None:
        with pytest.raises(SplitError, match="under 1 to leave test films"):
            divided(cohort(patients=60), train=train, validation=validation)


@pytest.mark.real
def test_real_films_are_balanced_to_the_film(real_data: Path) -> None:
    listed = pd.read_csv(real_data / "chest-xray/index.csv")
    listed["patient_id"] = listed["patient_id"].astype(str)
    films = frame(
        [
            {"name": row.path, "patient_id": row.patient_id, "label": row.label, "source": row.source}
            for row in listed.itertuples()
        ]
    )
    linked = (("covid_radiography", "nih_cxr14"),)
    result = divided(films, linked_sources=linked)
    assert result.groupby("patient_id")["split"].nunique().max() == 1
    assert deviation(result) <= 2
    strata = pd.crosstab([result["label"], result["source"]], result["split"])
    goal = np.outer(strata.sum(axis=1), [SHARES[part] for part in strata.columns])
    assert np.abs(strata.to_numpy() - goal).max() <= 2
    _, folds = folds_of(result, linked_sources=linked)
    assert [fold.withheld for fold in folds] == [
        ("covid_radiography", "nih_cxr14", "rahman_tb"),
        ("covid_radiography", "nih_cxr14", "tbx11k"),
        ("kermany_guangzhou", "rahman_tb"),
        ("kermany_guangzhou", "tbx11k"),
    ]
