import numpy as np
import pytest

from cxr.contracts.drift import CONDITIONS
from cxr.domain import Split
from cxr.drift.reference import fit_projection, read_reference
from cxr.drift.statistics import STATISTICS, image_statistics
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import infer
from cxr.steps.fit_drift import QUANTILE, fit_drift


def seen(run, split):
    films = load_films(run.folder / "studies", run.index.part(split), run.model.recipe.preprocessing)
    return films, infer(run.model.network, films.films)


def test_training_films_make_the_projection_and_validation_films_the_reference(small_run):
    reference, manifest = read_reference(small_run.folder / "drift")
    (_, training), (films, validation) = seen(small_run, Split.TRAIN), seen(small_run, Split.VALIDATION)
    projection, explained = fit_projection(training.embedding)
    np.testing.assert_allclose(reference.embedding, projection.project(validation.embedding), atol=1e-3)
    np.testing.assert_allclose(reference.logits, validation.logits, atol=1e-5)
    np.testing.assert_array_equal(reference.statistics, [image_statistics(film) for film in films.films])
    assert (manifest.training_films, manifest.reference_films) == (48, 12)
    assert manifest.explained_variance == pytest.approx(explained, abs=1e-4)
    assert (manifest.checkpoint, manifest.index) == (small_run.model.digest, small_run.index.digest)
    assert manifest.statistics == STATISTICS


def test_the_limit_is_a_quantile_of_the_validation_distances(small_run):
    reference, manifest = read_reference(small_run.folder / "drift")
    distances = reference.projection.distance(seen(small_run, Split.VALIDATION)[1].embedding)
    assert manifest.out_of_distribution.quantile == QUANTILE
    assert manifest.out_of_distribution.limit == pytest.approx(np.quantile(distances, QUANTILE), rel=1e-4)


def test_the_same_films_give_the_same_reference(small_run, tmp_path):
    fit_drift(**small_run.paths("studies", "split", "checkpoint"), out=tmp_path / "drift")
    for name in ("reference.json", "reference.npz"):
        assert (tmp_path / "drift" / name).read_bytes() == (small_run.folder / "drift" / name).read_bytes()


def test_test_films_are_rehearsed_clean_and_worse(small_run):
    reference, manifest = read_reference(small_run.folder / "drift")
    films, outputs = seen(small_run, Split.TEST)
    assert manifest.rehearsal.films == len(films)
    assert tuple(reference.rehearsal) == manifest.rehearsal.conditions == CONDITIONS
    clean, severe = reference.rehearsal["clean"], reference.rehearsal["severe"]
    np.testing.assert_allclose(clean.logits, outputs.logits, atol=1e-5)
    np.testing.assert_array_equal(clean.statistics, [image_statistics(film) for film in films.films])
    changed = (severe.statistics != clean.statistics).any(axis=1)
    assert changed.mean() > 0.8
