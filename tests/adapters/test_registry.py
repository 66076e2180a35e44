"""The registry against a real MLflow store in a file, and against an address where nothing answers."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from cxr.adapters.registry import CHALLENGER, CHAMPION, RegisteredVersion, Registry
from cxr.errors import RegistryError


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/runs/mlflow.db"


@pytest.fixture(scope="module")
def registry(uri: str) -> Registry:
    return Registry(uri)


@pytest.fixture
def client(registry: Registry, uri: str) -> MlflowClient:
    return MlflowClient(uri, registry_uri=uri)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files" / "figures").mkdir(parents=True)
    (tmp_path / "files" / "a.json").write_text("{}")
    (tmp_path / "files" / "figures" / "b.png").write_bytes(b"\x89PNG")
    return tmp_path / "files"


def test_a_run_holds_what_was_recorded(registry: Registry, client: MlflowClient, folder: Path, uri: str) -> None:
    run_id = registry.record(
        experiment="held",
        name="one",
        key="k",
        params={"loss.gamma": 2.0, **{f"many.{number}": number for number in range(250)}},
        metrics={"loss": [3.0, 2.0, 1.0], "accuracy": 0.5},
        artifacts={"evaluation": folder, "": folder / "a.json"},
        tags={"index": "abc"},
    )
    run = client.get_run(run_id)
    assert run.info.run_name == "one"
    assert run.info.status == "FINISHED"
    assert run.data.params["loss.gamma"] == "2.0"
    assert len(run.data.params) == 251
    assert [(point.step, point.value) for point in client.get_metric_history(run_id, "loss")] == [
        (0, 3),
        (1, 2),
        (2, 1),
    ]
    assert run.data.metrics["accuracy"] == 0.5
    assert run.data.tags["index"] == "abc"
    assert registry.artifact(run_id, "evaluation/figures/b.png") == b"\x89PNG"
    assert registry.artifact(run_id, "a.json") == b"{}"
    beside_the_database = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(beside_the_database)


def test_recording_again_changes_nothing(registry: Registry, client: MlflowClient) -> None:
    again = {"experiment": "again", "name": "one", "key": "k"}
    first = registry.record(**again, params={"a": 1}, metrics={"m": 1.0})
    second = registry.record(**again, params={"a": 2}, metrics={"m": 2.0})
    assert first == second
    run = client.get_run(first)
    assert (run.data.params, run.data.metrics) == ({"a": "1"}, {"m": 1.0})


def test_a_run_that_was_begun_and_killed_is_completed(registry: Registry, client: MlflowClient, folder: Path) -> None:
    again = {"experiment": "killed", "name": "one", "key": "k"}
    begun = registry.begin(**again)
    client.log_param(begun, "a", 1)
    client.log_metric(begun, "m", 1.0)
    ended = registry.record(**again, params={"a": 1}, metrics={"m": 1.0}, artifacts={"x": folder}, tags={"t": "1"})
    run = client.get_run(ended)
    assert begun == ended
    assert run.info.status == "FINISHED"
    assert run.data.tags["t"] == "1"
    assert registry.artifact(ended, "x/a.json") == b"{}"


def test_trials_are_nested_and_keep_their_state(registry: Registry, client: MlflowClient) -> None:
    parent = registry.begin(experiment="trials", name="search", key="search")
    child = registry.record(
        experiment="trials", name="trial 0", key="search-0", params={}, metrics={}, parent=parent, status="KILLED"
    )
    run = client.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.info.status == "KILLED"


def test_a_bundle_becomes_one_version_however_often_it_is_registered(registry: Registry, folder: Path) -> None:
    def register(digest: str, name: str = "model") -> str:
        run_id = registry.record(
            experiment="versions", name=digest, key=digest, params={}, metrics={}, artifacts={"bundle": folder}
        )
        version = registry.register(
            model=name, run_id=run_id, folder="bundle", bundle=digest, description="densenet121"
        )
        assert (version.model, version.bundle, version.run_id) == (name, digest, run_id)
        assert Path(version.source.removeprefix("file://"), "a.json").read_text() == "{}"
        return version.version

    assert [register("d1"), register("d2"), register("d1")] == ["1", "2", "1"]
    assert register("d1", "another model") == "1"


def test_an_alias_belongs_to_one_version(registry: Registry, folder: Path) -> None:
    for digest in ("d1", "d2"):
        run_id = registry.record(experiment="aliases", name=digest, key=digest, params={}, metrics={})
        registry.register(model="aliased", run_id=run_id, folder="bundle", bundle=digest, description="")
    assert registry.alias("aliased", CHAMPION) is None
    for version in ("1", "2"):
        registry.set_alias("aliased", CHALLENGER, version)
    registry.set_alias("aliased", CHAMPION, "1")
    found = {alias: registry.alias("aliased", alias) for alias in (CHALLENGER, CHAMPION)}
    assert {alias: version and version.bundle for alias, version in found.items()} == {
        CHALLENGER: "d2",
        CHAMPION: "d1",
    }


def test_a_model_that_is_not_registered_has_no_alias(registry: Registry) -> None:
    assert registry.alias("absent", CHAMPION) is None


def test_a_download_replaces_the_one_before(registry: Registry, folder: Path, tmp_path: Path) -> None:
    def registered(digest: str) -> RegisteredVersion:
        run_id = registry.record(
            experiment="downloads", name=digest, key=digest, params={}, metrics={}, artifacts={"bundle": folder}
        )
        return registry.register(model="downloaded", run_id=run_id, folder="bundle", bundle=digest, description="")

    def downloaded(version: RegisteredVersion) -> set[str]:
        copy = registry.download(version, tmp_path / "target")
        assert copy == tmp_path / "target" / "bundle"
        return {path.name for path in copy.iterdir()}

    first = registered("d1")
    (folder / "a.json").unlink()
    second = registered("d2")
    assert downloaded(first) == {"a.json", "figures"}
    assert downloaded(second) == {"figures"}
    assert {path.name for path in tmp_path.iterdir()} == {"files", "target"}


def test_a_download_that_fails_leaves_the_one_before(registry: Registry, folder: Path, tmp_path: Path) -> None:
    run_id = registry.record(experiment="d", name="d", key="d", params={}, metrics={}, artifacts={"bundle": folder})
    version = registry.register(model="kept", run_id=run_id, folder="bundle", bundle="d", description="")
    copy = registry.download(version, tmp_path / "target")
    shutil.rmtree(Path(version.source.removeprefix("file://")))
    with pytest.raises(RegistryError):
        registry.download(version, tmp_path / "target")
    assert (copy / "a.json").read_text() == "{}"


def test_refusals_are_registry_errors(registry: Registry, client: MlflowClient) -> None:
    with pytest.raises(RegistryError, match="a model name must be letters"):
        registry.register(model="it's", run_id="x", folder="bundle", bundle="d", description="")
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(RegistryError, match="'gone' must be active, is deleted"):
        registry.begin(experiment="gone", name="x", key="x")


def test_an_address_where_nothing_answers_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="does not answer") as caught:
        Registry("http://user:secret@127.0.0.1:9").alias("cxr", CHAMPION)
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_address_where_no_registry_answers_is_not_one_without_champion(status: int) -> None:
    with answering(status, b"<html>not here</html>") as address, pytest.raises(RegistryError, match="refuses"):
        Registry(address).alias("cxr", CHAMPION)


def test_a_server_that_has_no_such_model_has_no_champion() -> None:
    body = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model with name=cxr not found"}'
    with answering(404, body) as address:
        assert Registry(address).alias("cxr", CHAMPION) is None
