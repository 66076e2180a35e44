import msgspec
import numpy as np
import pytest

from cxr.contracts.bundle import OutOfDistribution
from cxr.contracts.drift import ARRAYS_FILE, REFERENCE_FILE, DriftReference, Rehearsal
from cxr.drift.reference import MOST_COMPONENTS, Reference, SeenFilms, fit_projection, read_reference, write_reference
from cxr.errors import ContractError


def embeddings(films, features=80, rank=6, seed=0, noise=0.05):
    """Gaussian in a few directions with a little noise in all others."""
    rng = np.random.default_rng(1)
    directions = np.linalg.qr(rng.normal(size=(features, rank)))[0] * np.linspace(4, 3, rank)
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(films, rank)) @ directions.T + noise * rng.normal(size=(films, features)) + 3
    return mixed.astype(np.float32)


def test_components_keep_the_variance_asked_for():
    projection, explained = fit_projection(embeddings(400))
    assert len(projection.scale) == 6
    assert 0.95 <= explained < 1
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(6), atol=1e-5)


def test_their_number_has_a_limit():
    noise = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    projection, explained = fit_projection(noise)
    assert len(projection.scale) == MOST_COMPONENTS
    assert explained < 0.95


def test_training_films_are_whitened():
    training = embeddings(400)
    whitened = fit_projection(training)[0].project(training)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(6), atol=1e-3)


def test_distance_is_mahalanobis_under_the_gaussian_of_probabilistic_pca():
    training = embeddings(400)
    projection, _ = fit_projection(training)
    centred = training.astype(np.float64) - training.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    values[:-6] = values[:-6].mean()
    expected = np.sqrt(((centred @ vectors) ** 2 / values).sum(axis=1))
    np.testing.assert_allclose(projection.distance(training), expected, rtol=1e-3)


def test_what_leaves_the_components_is_far_away_though_it_looks_usual_inside():
    projection, _ = fit_projection(embeddings(400))
    usual = embeddings(200, seed=5)
    strange = usual + np.random.default_rng(2).normal(0, 0.3, usual.shape).astype(np.float32)
    np.testing.assert_allclose(projection.project(strange), projection.project(usual), atol=0.5)
    assert projection.distance(strange).min() > projection.distance(usual).max()


@pytest.mark.parametrize("films", [3, 5, 20])
def test_few_training_films_still_give_finite_distances(films):
    projection, _ = fit_projection(embeddings(films))
    assert len(projection.scale) < films
    assert np.isfinite(projection.distance(embeddings(50, seed=3))).all()


@pytest.mark.parametrize("training", [embeddings(2), np.repeat(embeddings(2), 40, axis=0)])
def test_too_few_different_films_are_refused(training):
    with pytest.raises(ContractError, match="at least 3 training films that differ, has 2"):
        fit_projection(training)


@pytest.fixture
def reference():
    projection, explained = fit_projection(embeddings(100))
    seen = embeddings(30, seed=4)
    rng = np.random.default_rng(0)
    reference = Reference(
        projection=projection,
        embedding=projection.project(seen),
        logits=rng.normal(size=(30, 3)).astype(np.float32),
        statistics=rng.normal(size=(30, 2)).astype(np.float32),
    )
    manifest = DriftReference(
        checkpoint="c",
        index="i",
        training_films=100,
        reference_films=30,
        features=80,
        components=len(projection.scale),
        explained_variance=explained,
        statistics=("mean", "std"),
        findings=("Normal", "Pneumonia", "Tuberculosis"),
        out_of_distribution=OutOfDistribution(limit=5.0, quantile=0.99),
    )
    return reference, manifest


def test_it_is_read_back_as_it_was_written(reference, tmp_path):
    write_reference(tmp_path, *reference)
    read, manifest = read_reference(tmp_path)
    assert manifest == reference[1]
    for name in ("embedding", "logits", "statistics"):
        np.testing.assert_array_equal(getattr(read, name), getattr(reference[0], name))
    seen = embeddings(10, seed=8)
    np.testing.assert_array_equal(read.projection.distance(seen), reference[0].projection.distance(seen))


def test_the_same_values_give_the_same_bytes(reference, tmp_path):
    write_reference(tmp_path / "a", *reference)
    write_reference(tmp_path / "b", *reference)
    for name in (ARRAYS_FILE, REFERENCE_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_arrays_that_do_not_fit_are_refused(reference, tmp_path):
    write_reference(tmp_path, *reference)
    with np.load(tmp_path / ARRAYS_FILE) as stored:
        arrays = dict(stored)
    np.savez(tmp_path / ARRAYS_FILE, **arrays | {"logits": arrays["logits"][:5]})
    with pytest.raises(ContractError, match=r"must hold the float32 arrays that reference\.json describes"):
        read_reference(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no archive", b"text"])
def test_a_file_that_holds_no_arrays_is_refused(reference, tmp_path, content):
    write_reference(tmp_path, *reference)
    (tmp_path / ARRAYS_FILE).unlink()
    if content is not None:
        (tmp_path / ARRAYS_FILE).write_bytes(content)
    with pytest.raises(ContractError, match="must hold plain arrays"):
        read_reference(tmp_path)


def test_pickled_objects_are_never_loaded(reference, tmp_path):
    write_reference(tmp_path, *reference)
    np.savez(tmp_path / ARRAYS_FILE, mean=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ContractError, match="must hold plain arrays"):
        read_reference(tmp_path)


def test_rehearsal_films_are_read_back(reference, tmp_path):
    projection, plain = reference[0].projection, reference[1]
    rng = np.random.default_rng(2)

    def seen(films):
        arrays = {"embedding": (films, plain.components), "logits": (films, 3), "statistics": (films, 2)}
        made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in arrays.items()}
        return SeenFilms(**made, distance=rng.random(films).astype(np.float32))

    rehearsal = {"clean": seen(20), "severe": seen(20)}
    manifest = msgspec.structs.replace(plain, rehearsal=Rehearsal(films=20, conditions=("clean", "severe"), seed=4))
    whole = Reference(projection=projection, **vars(seen(30)), rehearsal=rehearsal)
    write_reference(tmp_path, whole, manifest)
    read, again = read_reference(tmp_path)
    assert again == manifest
    np.testing.assert_array_equal(read.distance, whole.distance)
    assert list(read.rehearsal) == ["clean", "severe"]
    for condition, films in rehearsal.items():
        for name, array in vars(films).items():
            np.testing.assert_array_equal(getattr(read.rehearsal[condition], name), array)
