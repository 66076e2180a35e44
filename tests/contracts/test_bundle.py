import json

import pytest

from cxr.contracts.bundle import (
    BUNDLE_FILE,
    BundleManifest,
    OutOfDistribution,
    PictureGate,
    Provenance,
    TensorSpec,
    read_bundle,
)
from cxr.contracts.files import file_digest, write_json
from cxr.contracts.metrics import Calibration
from cxr.contracts.recipe import Preprocessing
from cxr.errors import BundleError


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "drift").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "drift" / "reference.npz").write_bytes(b"arrays")
    manifest = BundleManifest(
        architecture="densenet121",
        findings=("Normal", "Pneumonia", "Tuberculosis"),
        preprocessing=Preprocessing(),
        calibration=Calibration(temperature=1.5, operating_points=(), refer_below=0.5, validation_films=10),
        out_of_distribution=OutOfDistribution(limit=9.0, quantile=0.99),
        gate=PictureGate(refuse_below=1.0, refer_below=2.0, refused_share=0.005, referred_share=0.02),
        inputs=(TensorSpec(name="films", dtype="float32", shape=(-1, 1, 224, 224)),),
        outputs=(),
        provenance=Provenance(
            created="2026-01-01T00:00:00Z",
            cxr_version="0",
            index="i",
            checkpoint="c",
            recipe="r",
            training_films=1,
            training_sources=("a",),
            initial_weights="random",
        ),
        files={
            "model.onnx": file_digest(folder / "model.onnx"),
            "drift/reference.npz": file_digest(folder / "drift" / "reference.npz"),
        },
    )
    write_json(folder / BUNDLE_FILE, manifest)
    return folder


def test_a_whole_bundle_is_identified_by_its_manifest(bundle):
    read = read_bundle(bundle)
    assert read.folder == bundle
    assert read.manifest.calibration.temperature == 1.5
    assert read.digest == file_digest(bundle / BUNDLE_FILE)


def test_a_changed_file_is_found_unless_the_bytes_are_trusted(bundle):
    (bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"changed \['model\.onnx'\]"):
        read_bundle(bundle)
    assert read_bundle(bundle, verify=False).manifest.architecture == "densenet121"


def test_a_bundle_of_version_1_is_still_read(bundle):
    """As cxr wrote it before it knew of prediction sets: without their limits and those of the referral."""
    manifest = json.loads((bundle / BUNDLE_FILE).read_bytes())
    manifest["version"] = manifest["calibration"]["version"] = 1
    for name in ("prediction_sets", "refer_error", "refer_error_bound"):
        del manifest["calibration"][name]
    (bundle / BUNDLE_FILE).write_text(json.dumps(manifest))
    read = read_bundle(bundle)
    assert (read.manifest.version, read.manifest.calibration.prediction_sets) == (1, None)
    manifest["version"] = 3
    (bundle / BUNDLE_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="Invalid enum value 3"):
        read_bundle(bundle)


@pytest.mark.parametrize("verify", [True, False])
def test_a_missing_or_foreign_file_is_always_found(bundle, verify):
    (bundle / "drift" / "reference.npz").unlink()
    (bundle / "notes.txt").touch()
    with pytest.raises(BundleError, match=r"missing \['drift/reference\.npz'\].*not listed \['notes\.txt'\]"):
        read_bundle(bundle, verify=verify)


@pytest.mark.parametrize("content", [None, b"{}", b"not JSON"])
def test_a_folder_without_a_valid_manifest_is_no_bundle(bundle, content):
    (bundle / BUNDLE_FILE).unlink()
    if content is not None:
        (bundle / BUNDLE_FILE).write_bytes(content)
    with pytest.raises(BundleError, match="must be a bundle as `cxr package` writes it"):
        read_bundle(bundle)
