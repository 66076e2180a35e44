import json
import re

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from cxr.contracts.bundle import read_bundle
from cxr.contracts.checkpoint import History
from cxr.contracts.crossval import CROSSVAL_FILE
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.contracts.metrics import Calibration, LocalisationReport, MetricsReport
from cxr.contracts.recipe import Recipe
from cxr.contracts.shortcuts import SHORTCUTS_FILE
from cxr.domain import Split
from cxr.drift.reference import read_reference
from cxr.errors import BundleError
from cxr.imaging.gate import read_gate
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import infer
from cxr.modeling.session import BundleSession
from cxr.steps.package import package
from support.audited import make_audit
from support.withheld import make_crossval

FOLDERS = ("studies", "split", "checkpoint", "evaluation", "robustness", "explanation", "drift", "gate")


def test_a_bundle_is_enough_by_itself(small_run):
    bundle = read_bundle(small_run.folder / "bundle")
    assert set(bundle.manifest.files) == {
        "MODEL_CARD.md",
        "model.onnx",
        "weights.safetensors",
        "drift/reference.json",
        "drift/reference.npz",
        "gate/gate.json",
        "gate/gate.npz",
        "reports/localisation.json",
        "reports/metrics.json",
        "reports/recipe.json",
        "reports/robustness.json",
    }
    assert read_json(bundle.folder / "reports" / "recipe.json", Recipe) == small_run.model.recipe
    trained = small_run.model.network.state_dict()
    for name, tensor in load_file(bundle.folder / "weights.safetensors").items():
        np.testing.assert_array_equal(tensor, trained[name].numpy())


def test_the_manifest_repeats_what_the_steps_found(small_run):
    manifest, folder = read_bundle(small_run.folder / "bundle").manifest, small_run.folder
    training = small_run.index.part(Split.TRAIN).films
    assert manifest.calibration == read_json(folder / "evaluation" / "calibration.json", Calibration)
    assert manifest.out_of_distribution == read_reference(folder / "drift")[1].out_of_distribution
    assert manifest.gate == read_gate(folder / "gate")[1].limits
    assert manifest.preprocessing == small_run.model.recipe.preprocessing
    provenance = manifest.provenance
    assert provenance.created == small_run.model.history.finished
    assert (provenance.checkpoint, provenance.index) == (small_run.model.digest, small_run.index.digest)
    assert (provenance.training_films, provenance.training_sources) == (len(training), ("a", "b"))


def test_it_answers_like_the_network(small_run):
    index = small_run.index.part(Split.TEST)
    films = load_films(small_run.folder / "studies", index, small_run.model.recipe.preprocessing).films
    served = BundleSession(small_run.folder / "bundle").infer(films, maps=True)
    for one, other in zip(served, infer(small_run.model.network, films, maps=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_same_parts_give_the_same_bundle_wherever_they_lie(small_run, tmp_path):
    moved = small_run.copy(tmp_path / "elsewhere")
    package(**moved.paths(*FOLDERS), out=tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle").digest == read_bundle(small_run.folder / "bundle").digest


def test_it_names_no_place_of_the_machine_and_no_film(small_run):
    content = b"".join(path.read_bytes() for path in (small_run.folder / "bundle").rglob("*") if path.is_file())
    assert str(small_run.folder).encode() not in content
    assert not [film for film in small_run.index.films["image_id"] if film.encode() in content]


@pytest.mark.parametrize(
    ("folder", "file", "kind"),
    [
        ("evaluation", "metrics.json", MetricsReport),
        ("explanation", "localisation.json", LocalisationReport),
    ],
)
@pytest.mark.parametrize("field", ["model", "index"])
def test_a_report_on_something_else_is_refused(small_run, tmp_path, folder, file, kind, field):
    run = small_run.copy(tmp_path / "run")
    path = run.folder / folder / file
    write_json(path, msgspec.structs.replace(read_json(path, kind), **{field: "f" * 64}))
    with pytest.raises(BundleError, match=f"one model and one split: {folder} must be of checkpoint"):
        package(**run.paths(*FOLDERS), out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_checkpoint_that_learnt_another_split_is_refused(small_run, tmp_path):
    """Test films of one split are training films of the other."""
    run = small_run.copy(tmp_path / "run")
    path = run.folder / "checkpoint" / "history.json"
    write_json(path, msgspec.structs.replace(read_json(path, History), index="f" * 64))
    with pytest.raises(BundleError, match="training must be of checkpoint"):
        package(**run.paths(*FOLDERS), out=tmp_path / "bundle")


def test_its_json_is_plain(small_run):
    manifest = json.loads((small_run.folder / "bundle" / "bundle.json").read_text())
    assert manifest["version"] == 2
    assert set(manifest["calibration"]["prediction_sets"]["least_probability"]) == set(manifest["findings"])
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in manifest["files"].values())
    for name, digest in manifest["files"].items():
        assert file_digest(small_run.folder / "bundle" / name) == digest


def test_an_audit_goes_into_the_bundle_and_its_card(small_run, tmp_path):
    bundle = read_bundle(small_run.folder / "bundle")
    provenance = bundle.manifest.provenance
    write_json(
        tmp_path / "audit" / SHORTCUTS_FILE,
        make_audit("warn", model=provenance.checkpoint, index=provenance.index),
    )
    manifest = package(**small_run.paths(*FOLDERS), out=tmp_path / "bundle", audit=tmp_path / "audit")
    assert f"reports/{SHORTCUTS_FILE}" in manifest.files
    assert "Pull of the source" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    write_json(tmp_path / "audit" / SHORTCUTS_FILE, make_audit("warn", index=provenance.index))
    with pytest.raises(BundleError, match="audit must be of checkpoint"):
        package(**small_run.paths(*FOLDERS), out=tmp_path / "other", audit=tmp_path / "audit")


def test_cross_validation_of_the_recipe_goes_into_the_bundle_and_its_card(small_run, tmp_path):
    provenance = read_bundle(small_run.folder / "bundle").manifest.provenance
    write_json(tmp_path / "crossval" / CROSSVAL_FILE, make_crossval(recipe=provenance.recipe, index=provenance.index))
    packed = package(**small_run.paths(*FOLDERS), out=tmp_path / "bundle", crossval=tmp_path / "crossval")
    assert f"reports/{CROSSVAL_FILE}" in packed.files
    assert "What promises are worth there" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    for other in (make_crossval(index=provenance.index), make_crossval(recipe=provenance.recipe)):
        write_json(tmp_path / "crossval" / CROSSVAL_FILE, other)
        with pytest.raises(BundleError, match=r"crossval must be of the checkpoint's recipe .*; run `cxr crossval`"):
            package(**small_run.paths(*FOLDERS), out=tmp_path / "other", crossval=tmp_path / "crossval")
    assert not (tmp_path / "other").exists()
    given = make_crossval(recipe=provenance.recipe, index=provenance.index, initial_weights="imagenet")
    write_json(tmp_path / "crossval" / CROSSVAL_FILE, given)
    with pytest.raises(BundleError, match="must have started from random weights as the checkpoint did"):
        package(**small_run.paths(*FOLDERS), out=tmp_path / "other", crossval=tmp_path / "crossval")
