"""A bundle of a small untrained network, with its graph, weights and recipe."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cxr.contracts.bundle import BUNDLE_FILE, REPORTS_FOLDER, Bundle, BundleManifest, read_bundle
from cxr.contracts.checkpoint import RECIPE_FILE, WEIGHTS_FILE
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.contracts.metrics import Calibration
from cxr.contracts.recipe import Preprocessing
from support.checkpoints import SMALL, write_random_checkpoint, write_small_bundle

CALIBRATION = Calibration(temperature=1.5, operating_points=(), refer_below=0.5, validation_films=10)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Films of 64 px, maps of 2 × 2; not to be changed."""
    folder = tmp_path_factory.mktemp("engine")
    recipe = msgspec.structs.replace(SMALL, preprocessing=Preprocessing(size=64, stored_side=64))
    model = write_random_checkpoint(folder / "checkpoint", recipe)
    write_small_bundle(folder / "bundle", model, CALIBRATION)
    copies = {WEIGHTS_FILE: WEIGHTS_FILE, RECIPE_FILE: f"{REPORTS_FOLDER}/{RECIPE_FILE}"}
    (folder / "bundle" / REPORTS_FOLDER).mkdir()
    for source, copy in copies.items():
        shutil.copyfile(folder / "checkpoint" / source, folder / "bundle" / copy)
    _list_files(folder / "bundle", tuple(copies.values()))
    return read_bundle(folder / "bundle")


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A bundle that a test may spoil."""
    return replace(bundle, folder=Path(shutil.copytree(bundle.folder, tmp_path / "bundle")))


def _list_files(folder: Path, names: tuple[str, ...]) -> None:
    manifest = read_json(folder / BUNDLE_FILE, BundleManifest)
    digests = {name: file_digest(folder / name) for name in names}
    write_json(folder / BUNDLE_FILE, msgspec.structs.replace(manifest, files={**manifest.files, **digests}))
