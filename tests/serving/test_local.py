"""What `cxr serve` chooses and makes before it starts anything."""

import shutil

import pytest

from cxr.adapters.registry import CHAMPION, Registry
from cxr.contracts.bundle import BUNDLE_FILE, BundleManifest, read_bundle
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.errors import BundleError, ServingError
from cxr.serving.local import champion_bundle, passed_over, prepare, running, serve
from cxr.serving.security.keys import KeyStore, Scope
from support.ports import free_port
from support.proxies import StubProxy


def chosen(run, tmp_path, tracking=None):
    return champion_bundle(
        run=run,
        state=tmp_path / "state",
        tracking_uri=tracking or f"sqlite:///{tmp_path}/mlflow.db",
        model_name="cxr",
    )


def registered(tracking, bundle):
    registry, digest = Registry(tracking), read_bundle(bundle).digest
    run_id = registry.record(
        experiment="cxr", name=digest, key=digest, params={}, metrics={}, artifacts={"bundle": bundle}
    )
    return registry.register(model="cxr", run_id=run_id, folder="bundle", bundle=digest, description="")


def make_champion(tracking, bundle):
    Registry(tracking).set_alias("cxr", CHAMPION, registered(tracking, bundle).version)


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
    version = registered(tracking, champion)
    assert read_bundle(chosen(phantom_run.folder, tmp_path, tracking)).digest != version.bundle
    Registry(tracking).set_alias("cxr", CHAMPION, version.version)
    assert read_bundle(chosen(phantom_run.folder, tmp_path, tracking)).digest == version.bundle


def test_a_champion_with_fewer_files_than_the_one_before_is_served(phantom_run, tmp_path):
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    earlier = phantom_run.other_bundle(tmp_path / "earlier")
    extra = earlier / "reports" / "crossval.json"
    extra.parent.mkdir(exist_ok=True)
    extra.write_text("{}")
    manifest = read_json(earlier / BUNDLE_FILE, BundleManifest)
    manifest.files["reports/crossval.json"] = file_digest(extra)
    write_json(earlier / BUNDLE_FILE, manifest)
    make_champion(tracking, earlier)
    assert (chosen(phantom_run.folder, tmp_path, tracking) / "reports" / "crossval.json").exists()
    make_champion(tracking, phantom_run.bundle)
    served = chosen(phantom_run.folder, tmp_path, tracking)
    assert read_bundle(served).digest == read_bundle(phantom_run.bundle).digest
    assert not (served / "reports" / "crossval.json").exists()


@pytest.mark.parametrize("trouble", ["server", "database", "files"])
def test_a_registry_that_cannot_be_asked_is_not_one_without_champion(phantom_run, tmp_path, monkeypatch, trouble):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    if trouble == "server":
        tracking = f"http://127.0.0.1:{free_port()}"
    elif trouble == "database":
        (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    else:
        make_champion(tracking, phantom_run.bundle)
        shutil.rmtree(tmp_path / "mlartifacts")
    with pytest.raises(ServingError, match=r"the champion of 'cxr'.*--bundle"):
        chosen(phantom_run.folder, tmp_path, tracking)
    assert not (tmp_path / "state" / "bundle").exists()


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


def test_a_state_folder_that_cannot_be_one_is_named(phantom_run, tmp_path):
    (tmp_path / "file").touch()
    ports = {name: free_port() for name in ("http_port", "grpc_port", "drift_port")}
    lines = serve(
        run=phantom_run.folder, bundle=phantom_run.bundle, state=tmp_path / "file", drift_python=tmp_path / "none",
        tracking_uri="", model_name="cxr", options=(), **ports,
    )  # fmt: skip
    with pytest.raises(ServingError, match=r"file must be a folder that can be written.*--state"):
        next(lines)


def test_whether_the_processes_are_ready_is_asked_without_a_proxy(phantom_run, tmp_path, monkeypatch):
    state = tmp_path / "state"
    prepare(state)
    ports = {name: free_port() for name in ("http_port", "grpc_port", "drift_port")}
    with StubProxy.started(monkeypatch) as proxy:
        with running(bundle=phantom_run.bundle, state=state, drift_python=None, **ports) as (local, processes):
            assert [process.poll() for process in processes] == [None]
        assert proxy.seen == []
    assert local.state == state
