import numpy as np
import pytest
from PIL import Image

from cxr.contracts.recipe import Preprocessing
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.imaging.preprocess import network_input
from cxr.modeling.dataset import load_films, read_stored

PREPROCESSING = Preprocessing(size=32)


def test_each_row_is_the_preprocessed_film(noise_studies):
    index = StudyIndex.read(noise_studies).part(Split.TEST)
    films = load_films(noise_studies, index, PREPROCESSING)
    for row, image_id in enumerate(index.films["image_id"]):
        stored = np.asarray(Image.open(noise_studies / "images" / f"{image_id}.png"))
        np.testing.assert_array_equal(films.films[row], network_input(stored, PREPROCESSING))
    assert sorted(set(films.labels)) == [0, 1, 2]


def test_the_array_is_kept_and_found_again(noise_studies, tmp_path):
    index = StudyIndex.read(noise_studies)
    first = load_films(noise_studies, index, PREPROCESSING, scratch=tmp_path)
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    again = load_films(noise_studies, index, PREPROCESSING, scratch=tmp_path)
    np.testing.assert_array_equal(first.films, again.films)
    assert kept.stat().st_mtime_ns == written
    load_films(noise_studies, index, Preprocessing(size=48), scratch=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_films_that_another_version_kept_are_not_taken(noise_studies, tmp_path, monkeypatch):
    index = StudyIndex.read(noise_studies)
    load_films(noise_studies, index, PREPROCESSING, scratch=tmp_path)
    monkeypatch.setattr("cxr.__version__", "next")
    monkeypatch.setattr("cxr.modeling.dataset.network_input", lambda *_: np.full((32, 32), 7, np.uint8))
    assert (load_films(noise_studies, index, PREPROCESSING, scratch=tmp_path).films == 7).all()


def test_unlabelled_films_are_minus_one(noise_studies):
    index = StudyIndex.read(noise_studies)
    films = index.films.assign(label=None)
    assert set(load_films(noise_studies, StudyIndex(films), PREPROCESSING).labels) == {-1}


def test_a_missing_image_is_named(noise_studies):
    with pytest.raises(ContractError, match=r"nothing\.png must be a readable PNG"):
        read_stored(noise_studies, "nothing")


def test_a_subset_keeps_rows_together(noise_studies):
    films = load_films(noise_studies, StudyIndex.read(noise_studies), PREPROCESSING)
    some = films.take(films.labels == 1)
    assert len(some) == len(some.index) == 24
    assert set(some.index.films["label"]) == {"Pneumonia"}
