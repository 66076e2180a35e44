import hashlib
import io
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from minio.error import S3Error

from cxr.adapters.mirror import mirror
from cxr.adapters.object_store import Lock, ObjectStore, ObjectStoreConfig, StoredObject, Unreachable
from cxr.errors import SourceError
from support import rgw
from support.rgw import Gateway

gateway = rgw.gateway
SECRET = "very-secret-words"  # noqa: S105
FILMS = {
    "set/Normal/a 1.png": b"first",
    "set/Normal/ü+ñ&=#?%20.png": b"second, with a key to escape",
    "set/TB/深/肺.dcm": b"third" * 300_000,
    "set/empty.png": b"",
    "set2/other.png": b"a sibling folder",
}


def put(gateway: Gateway, bucket: str, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        gateway.client.put_object(bucket, key, io.BytesIO(data), len(data))


@pytest.fixture
def bucket(gateway: Gateway) -> str:
    name = gateway.bucket()
    put(gateway, name, FILMS)
    put(gateway, name, {"set/folder marker/": b""})
    return name


@pytest.fixture
def store(gateway: Gateway) -> ObjectStore:
    return ObjectStore(ObjectStoreConfig.from_environment(gateway.environment()), pause=0.01)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def below(prefix: str) -> dict[str, bytes]:
    return {key.removeprefix(prefix): data for key, data in FILMS.items() if key.startswith(prefix)}


def requests_of(store: ObjectStore) -> list[str]:
    """Keys that the store fetches from now on."""
    fetched: list[str] = []
    fetch = store.fetch

    def recorded(bucket: str, key: str, target: Path) -> StoredObject:
        fetched.append(key)
        return fetch(bucket, key, target)

    store.fetch = recorded  # type: ignore[method-assign]
    return fetched


class TestListing:
    def test_lists_a_folder_and_not_its_sibling_nor_markers(self, store: ObjectStore, bucket: str) -> None:
        listed = store.objects(bucket, "set")
        assert [item.key for item in listed] == sorted(key for key in FILMS if key.startswith("set/"))
        assert {item.key: item.size for item in listed} == {
            key: len(data) for key, data in FILMS.items() if key.startswith("set/")
        }
        assert {item.key: item.etag for item in listed} == {
            key: hashlib.md5(data, usedforsecurity=False).hexdigest()
            for key, data in FILMS.items()
            if key.startswith("set/")
        }

    def test_the_empty_prefix_is_the_bucket(self, store: ObjectStore, bucket: str) -> None:
        assert {item.key for item in store.objects(bucket, "")} == set(FILMS)

    def test_lists_beyond_one_page(self, store: ObjectStore, gateway: Gateway) -> None:
        name = gateway.bucket()
        keys = [f"many/{number:04d}.png" for number in range(1003)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: put(gateway, name, {key: b"x"}), keys))
        assert [item.key for item in store.objects(name, "many")] == keys

    def test_finds_one_object(self, store: ObjectStore, bucket: str) -> None:
        assert store.find(bucket, "set2/other.png") == store.objects(bucket, "set2")[0]
        assert store.find(bucket, "set2") is None


class TestMirror:
    def test_downloads_every_object(self, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
        files = mirror(store, bucket, store.objects(bucket, "set"), base="set", target=tmp_path / "copy")
        assert contents(files) == below("set/")

    def test_a_second_call_downloads_nothing(self, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
        objects = store.objects(bucket, "set")
        mirror(store, bucket, objects, base="set", target=tmp_path)
        fetched = requests_of(store)
        files = mirror(store, bucket, objects, base="set", target=tmp_path)
        assert (fetched, contents(files)) == ([], below("set/"))

    def test_resumes_after_a_part(self, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
        objects = store.objects(bucket, "set")
        files = mirror(store, bucket, objects, base="set", target=tmp_path)
        journal = tmp_path / "journal.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        done = json.loads(lines[0])["key"]
        lost = json.loads(lines[1])["key"]
        journal.write_text("".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
        (files / lost.removeprefix("set/")).unlink()
        (tmp_path / "parts" / "left").write_bytes(b"half a film")
        fetched = requests_of(store)
        assert contents(mirror(store, bucket, objects, base="set", target=tmp_path)) == below("set/")
        assert sorted([*fetched, done]) == sorted(item.key for item in objects)
        assert not list((tmp_path / "parts").iterdir())

    def test_fetches_what_changed_and_removes_what_is_gone(
        self,
        store: ObjectStore,
        gateway: Gateway,
        bucket: str,
        tmp_path: Path,
    ) -> None:
        mirror(store, bucket, store.objects(bucket, "set"), base="set", target=tmp_path)
        put(gateway, bucket, {"set/Normal/a 1.png": b"FIRST"})  # of the same size
        gateway.client.remove_object(bucket, "set/TB/深/肺.dcm")
        fetched = requests_of(store)
        files = mirror(store, bucket, store.objects(bucket, "set"), base="set", target=tmp_path)
        assert fetched == ["set/Normal/a 1.png"]
        expected = below("set/") | {"Normal/a 1.png": b"FIRST"}
        assert contents(files) == {name: data for name, data in expected.items() if "肺" not in name}
        assert not (files / "TB").exists()

    def test_two_at_once_share_the_work(self, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
        objects = store.objects(bucket, "set")
        fetched = requests_of(store)
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(mirror, store, bucket, objects, base="set", target=tmp_path) for _ in range(2)]
            assert all(contents(call.result()) == below("set/") for call in calls)
        assert sorted(fetched) == sorted(item.key for item in objects)

    @pytest.mark.parametrize("key", ["set/../outside.png", "set//twice.png", "set/./here.png"])
    def test_refuses_keys_that_are_no_plain_path(self, store: ObjectStore, tmp_path: Path, key: str) -> None:
        with pytest.raises(SourceError, match="plain path"):
            mirror(store, "films", [StoredObject(key, 1, "")], base="set", target=tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_an_object_that_is_gone_ends_the_call(self, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
        objects = [*store.objects(bucket, "set"), StoredObject("set/gone.png", 3, "0")]
        with pytest.raises(SourceError, match="NoSuchKey"):
            mirror(store, bucket, objects, base="set", target=tmp_path)

    def test_a_key_below_another_object_names_the_trouble(
        self,
        store: ObjectStore,
        gateway: Gateway,
        tmp_path: Path,
    ) -> None:
        name = gateway.bucket()
        put(gateway, name, {"film": b"x", "film/below.png": b"y"})
        with pytest.raises(SourceError, match="must hold a copy"):
            mirror(store, name, store.objects(name, ""), base="", target=tmp_path)


class TestLockedObjects:
    @pytest.fixture
    def locking(self, gateway: Gateway) -> str:
        name = f"locked-{uuid.uuid4().hex[:12]}"
        gateway.client.make_bucket(name, object_lock=True)
        return name

    def test_stay_until_their_time(self, store: ObjectStore, gateway: Gateway, locking: str, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"kept")
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        store.put_locked(locking, "x/a", tmp_path / "a", until=until)
        (version,) = store.versions(locking, "x/")
        assert store.lock(locking, "x/a", version.version) == Lock("COMPLIANCE", until)
        with pytest.raises(S3Error, match="AccessDenied"):
            gateway.client.remove_object(locking, "x/a", version_id=version.version)
        gateway.client.remove_object(locking, "x/a")
        first, mark = store.versions(locking, "x/")
        assert (first, mark.deletion) == (version, True)
        with store.reading(locking, "x/a", first.version) as stream:
            assert (stream.read(2), stream.read(), stream.read()) == (b"ke", b"pt", b"")

    def test_others_have_no_lock(self, store: ObjectStore, gateway: Gateway, locking: str) -> None:
        put(gateway, locking, {"free": b"x"})
        assert store.lock(locking, "free") is None

    def test_need_a_bucket_that_can(self, store: ObjectStore, bucket: str, locking: str) -> None:
        store.require_lock(locking)
        with pytest.raises(SourceError, match="must have object lock"):
            store.require_lock(bucket)


class TestRefusals:
    def test_wrong_secret(self, gateway: Gateway, bucket: str) -> None:
        environment = gateway.environment() | {"AWS_SECRET_ACCESS_KEY": SECRET}
        store = ObjectStore(ObjectStoreConfig.from_environment(environment))
        with pytest.raises(SourceError, match="SignatureDoesNotMatch") as caught:
            store.objects(bucket, "set")
        assert gateway.endpoint in str(caught.value)
        assert SECRET not in str(caught.value) + repr(caught.value.__cause__)

    def test_unknown_access_key(self, gateway: Gateway, bucket: str) -> None:
        environment = gateway.environment() | {"AWS_ACCESS_KEY_ID": "nobody"}
        store = ObjectStore(ObjectStoreConfig.from_environment(environment))
        with pytest.raises(SourceError, match=r"InvalidAccessKeyId.*AWS_ACCESS_KEY_ID"):
            store.objects(bucket, "set")

    def test_no_keys(self, gateway: Gateway, bucket: str) -> None:
        store = ObjectStore(ObjectStoreConfig(endpoint=gateway.endpoint))
        with pytest.raises(SourceError, match="AccessDenied"):
            store.objects(bucket, "set")

    def test_no_such_bucket(self, store: ObjectStore) -> None:
        with pytest.raises(SourceError, match=r"s3://no-such-films at http.*NoSuchBucket"):
            store.objects("no-such-films", "")

    def test_a_name_that_no_bucket_can_have(self, store: ObjectStore) -> None:
        with pytest.raises(SourceError, match="invalid bucket name"):
            store.objects("a", "")

    def test_nobody_listens(self) -> None:
        store = ObjectStore(ObjectStoreConfig(endpoint="http://127.0.0.1:1"), attempts=2, pause=0.01)
        with pytest.raises(Unreachable, match=r"http://127.0.0.1:1 must be reachable: .*refused"):
            store.objects("films", "")


class FlakyServer(BaseHTTPRequestHandler):
    """Answers the first requests with an error or half a body, and every later one well."""

    answers: list[str]
    body = b"a film of thirty-two bytes......"

    def do_GET(self) -> None:
        answer = self.answers.pop(0) if self.answers else "whole"
        if answer == "page":
            self.send_response(200 if "list-type" in self.path else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            return
        self.send_response(503 if answer == "busy" else 200)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(self.body[: 10 if answer == "half" else None])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def flaky():
    handler = type("Handler", (FlakyServer,), {"answers": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    config = ObjectStoreConfig(endpoint=f"http://127.0.0.1:{server.server_port}", region="us-east-1")
    yield ObjectStore(config, attempts=4, pause=0.001), handler.answers
    server.shutdown()
    server.server_close()


class TestTransientErrors:
    @pytest.mark.parametrize("answers", [["busy"], ["half"], ["half", "busy", "half"]])
    def test_are_tried_again(self, flaky, tmp_path: Path, answers: list[str]) -> None:
        store, script = flaky
        script.extend(answers)
        assert store.fetch("films", "a.png", tmp_path / "a") == StoredObject("a.png", 32, "tag")
        assert (tmp_path / "a").read_bytes() == FlakyServer.body

    @pytest.mark.parametrize("answer", ["busy", "half"])
    def test_end_in_an_error_when_they_last(self, flaky, tmp_path: Path, answer: str) -> None:
        store, script = flaky
        script.extend([answer] * 40)
        with pytest.raises(SourceError, match="must be reachable"):
            store.fetch("films", "a.png", tmp_path / "a")

    def test_a_web_page_is_no_store(self, flaky, tmp_path: Path) -> None:
        store, script = flaky
        script.append("page")
        with pytest.raises(SourceError, match="must speak S3"):
            store.fetch("films", "a.png", tmp_path / "a")
        script.append("page")
        with pytest.raises(SourceError, match="must speak S3"):
            store.objects("films", "")


class TestConfig:
    def test_defaults_to_aws_without_keys(self) -> None:
        assert ObjectStoreConfig.from_environment({}) == ObjectStoreConfig(endpoint="https://s3.amazonaws.com")

    def test_reads_the_usual_variables(self, tmp_path: Path) -> None:
        bundle = tmp_path / "ca.pem"
        bundle.touch()
        environment = {
            "AWS_ENDPOINT_URL": "https://s3.example.org:9000/",
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
            "AWS_REGION": "",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CA_BUNDLE": str(bundle),
        }
        assert ObjectStoreConfig.from_environment(environment) == ObjectStoreConfig(
            endpoint="https://s3.example.org:9000",
            access_key="me",
            secret_key=SECRET,
            session_token=SECRET,
            region="eu-west-1",
            ca_bundle=bundle,
        )

    @pytest.mark.parametrize(
        ("environment", "endpoint"),
        [
            ({"S3_ENDPOINT": "seaweedfs:9000"}, "https://seaweedfs:9000"),
            ({"S3_ENDPOINT": "seaweedfs:9000", "S3_USE_HTTPS": "0"}, "http://seaweedfs:9000"),
            ({"S3_ENDPOINT": "a:1", "AWS_ENDPOINT_URL": "http://b:2"}, "http://b:2"),
            ({"AWS_ENDPOINT_URL": "http://b:2", "AWS_ENDPOINT_URL_S3": "http://c:3"}, "http://c:3"),
        ],
    )
    def test_finds_the_endpoint(self, environment: dict[str, str], endpoint: str) -> None:
        assert ObjectStoreConfig.from_environment(environment).endpoint == endpoint

    @pytest.mark.parametrize(
        ("environment", "message"),
        [
            ({"AWS_ACCESS_KEY_ID": "me"}, "both or neither"),
            ({"AWS_ENDPOINT_URL": "ftp://films"}, "must be a URL"),
            ({"AWS_ENDPOINT_URL": "https://films/bucket"}, "must be a URL"),
            ({"AWS_ENDPOINT_URL": f"https://me:{SECRET}@films"}, "no credentials"),
            ({"AWS_CA_BUNDLE": "/no/such/file"}, "AWS_CA_BUNDLE"),
        ],
    )
    def test_refuses_what_cannot_work(self, environment: dict[str, str], message: str) -> None:
        with pytest.raises(SourceError, match=message) as caught:
            ObjectStoreConfig.from_environment(environment)
        assert SECRET not in str(caught.value)

    def test_keeps_secrets_out_of_its_text(self) -> None:
        config = ObjectStoreConfig(endpoint="http://a", access_key="me", secret_key=SECRET, session_token=SECRET)
        assert SECRET not in f"{config} {config!r}"
