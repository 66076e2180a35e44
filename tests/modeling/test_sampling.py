import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.studies import SCHEMA, StudyIndex
from cxr.domain import TAXONOMY
from cxr.modeling.dataset import FilmArray
from cxr.modeling.sampling import balanced_chances, draw_films


def films_of(groups: list[tuple[int, int]]) -> FilmArray:
    """One (label, films) per group; every film shows its own number."""
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {"group_id": f"g{group}", "label": TAXONOMY.findings[label], "width": 1, "height": 1, "sha256": "a"}
        for group, (label, films) in enumerate(groups)
        for _ in range(films)
    ]
    for number, row in enumerate(rows):
        row["image_id"] = f"{number:05d}"
    index = StudyIndex(pd.DataFrame(rows, columns=SCHEMA.names))
    labels = np.array([TAXONOMY.index(label) for label in index.films["label"]], np.int64)
    return FilmArray(np.arange(len(rows)).astype(np.uint8).reshape(-1, 1, 1), labels, index)


groups = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=3, max_size=60).filter(
    lambda drawn: {label for label, _ in drawn} == {0, 1, 2}
)


@settings(max_examples=40)
@given(drawn=groups, most=st.integers(1, 250), seed=st.integers(0, 3))
def test_patients_stay_whole_and_no_class_is_lost(drawn, most, seed):
    films = films_of(drawn)
    few = draw_films(films, most, seed=seed)
    kept = few.index.films["group_id"]
    whole = films.index.films["group_id"].isin(set(kept))
    assert len(few) == whole.sum()
    assert set(few.labels) == {0, 1, 2}
    # at most the number asked for, but for one smallest group of each class that would have been lost
    spared = sum(min(size for label, size in drawn if label == finding) for finding in range(3))
    assert len(few) <= most + spared
    assert few.labels.tolist() == [TAXONOMY.index(label) for label in few.index.films["label"]]
    assert few.films.ravel().tolist() == [int(name) % 256 for name in few.index.films["image_id"]]


def test_classes_keep_their_shares():
    films = films_of([(0, 1)] * 200 + [(1, 1)] * 100 + [(2, 2)] * 50)
    few = draw_films(films, 100, seed=0)
    assert np.bincount(few.labels).tolist() == [50, 25, 24]


def test_a_seed_draws_the_same_films_and_another_seed_others():
    films = films_of([(number % 3, 1) for number in range(90)])
    first, again, other = (set(draw_films(films, 30, seed=seed).index.films["image_id"]) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("most", [0, 6, 7])
def test_all_films_are_kept_where_they_are_few_enough(most):
    films = films_of([(0, 2), (1, 2), (2, 2)])
    assert draw_films(films, most, seed=0) is films


def test_a_group_of_several_labels_counts_as_that_of_most():
    films = films_of([(0, 1)] * 8 + [(1, 1)] * 8 + [(2, 1)] * 8)
    rows = films.index.films.assign(
        group_id=["mixed"] * 2 + [f"g{n}" for n in range(6)] + [f"g{n}" for n in range(6, 22)]
    )
    mixed = FilmArray(films.films, films.labels, StudyIndex(rows))
    few = draw_films(mixed, 12, seed=0)
    assert np.bincount(few.labels).tolist() == [4, 4, 4]


@settings(max_examples=40)
@given(
    drawn=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), min_size=1, max_size=400),
)
def test_classes_are_drawn_alike(drawn):
    labels = np.array([label for label, _ in drawn], np.int64)
    chances = balanced_chances(labels, [source for _, source in drawn])
    assert chances.sum() == pytest.approx(1)
    mass = [chances[labels == label].sum() for label in np.unique(labels)]
    np.testing.assert_allclose(mass, 1 / len(mass))


def test_sources_of_a_class_are_drawn_alike_unless_they_have_few_films():
    sources = ["large"] * 1000 + ["small"] * 200 + ["tiny"] * 5
    chances = balanced_chances(np.zeros(len(sources), np.int64), sources)
    large, small, tiny = (sum(chances[i] for i, name in enumerate(sources) if name == of) for of in
                          ("large", "small", "tiny"))  # fmt: skip
    assert large == pytest.approx(small)
    assert tiny == pytest.approx(small * 0.05)
