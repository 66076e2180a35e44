"""What `cxr serve` chooses and makes before it starts anything."""

import pytest

from cxr.adapters.registry import CHAMPION, Registry
from cxr.contracts.bundle import read_bundle
from cxr.errors import BundleError, ServingError
from cxr.serving.local import champion_bundle, passed_over, prepare
from cxr.serving.security.keys import KeyStore, Scope


def chosen(run, tmp_path, tracking=None):
    return champion_bundle(
        run=run,
        state=tmp_path / "state",
        tracking_uri=tracking or f"sqlite:///{tmp_path}/mlflow.db",
        model_name="cxr",
    )


def test_without_champion_and_without_run_it_says_what_to_do(tmp_path):
    with pytest.raises(ServingError, match="make run"):
        chosen(tmp_path / "none", tmp_path)


def test_without_champion_the_runs_bundle_is_served_from_a_copy(phantom_run, tmp_path):
    folder = chosen(phantom_run.folder, tmp_path)
    assert folder == tmp_path / "state" / "bundle"
    assert read_bundle(folder).digest == read_bundle(phantom_run.bundle).digest


def test_the_champion_goes_before_the_run_and_replaces_what_was_served(phantom_run, tmp_path):
    chosen(phantom_run.folder, tmp_path)
    champion = phantom_run.other_bundle(tmp_path / "champion")
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    registry = Registry(tracking)
    run_id = registry.record(experiment="cxr", name="a", key="a", params={}, metrics={}, artifacts={"bundle": champion})
    digest = read_bundle(champion).digest
    version = registry.register(model="cxr", run_id=run_id, folder="bundle", bundle=digest, description="")
    assert read_bundle(chosen(phantom_run.folder, tmp_path, tracking)).digest != digest
    registry.set_alias("cxr", CHAMPION, version.version)
    assert read_bundle(chosen(phantom_run.folder, tmp_path, tracking)).digest == digest


def test_it_says_when_the_champion_is_served_rather_than_the_runs_bundle(phantom_run, tmp_path):
    champion = phantom_run.other_bundle(tmp_path / "champion")
    assert passed_over(phantom_run.bundle, phantom_run.bundle, "cxr") is None
    assert passed_over(champion, tmp_path / "none", "cxr") is None
    said = passed_over(champion, phantom_run.bundle, "cxr")
    assert f"--bundle {phantom_run.bundle}" in said


def test_a_spoilt_bundle_is_not_served(phantom_run, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    phantom_run.other_bundle(run / "bundle")
    (run / "bundle" / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="changed"):
        chosen(run, tmp_path)


def test_secrets_are_made_once_and_closed_to_others(tmp_path):
    prepare(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    prepare(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in made} == made
    for name in ("client.key", "drift.token", "keys.json", "tls/server.key"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name
    identity = KeyStore.open(tmp_path / "keys.json").identify(
        (tmp_path / "client.key").read_text().strip(), scope=Scope.PREDICT
    )
    assert identity.scopes == {Scope.PREDICT, Scope.ADMIN, Scope.AUDIT}
