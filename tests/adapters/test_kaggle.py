"""The real kagglehub against a server on this machine that answers as Kaggle's interface does."""

import io
import json
import logging
import os
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cxr.adapters.kaggle import download_dataset
from cxr.errors import SourceError

HANDLE = "somebody/chest-films"
TOKEN = "very-secret-token"  # noqa: S105
FILMS = {"data/train/NORMAL/a.png": b"film", "data/test/TB/ü.png": b"other film"}


class Kaggle(BaseHTTPRequestHandler):
    """`status` is the answer to the next requests; `seen` are the names of the requests with their authorisation."""

    status = 200
    seen: list[tuple[str, str | None]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.rpartition("/")[2]
        self.seen.append((name, self.headers.get("Authorization")))
        if self.status != 200:
            self._answer(json.dumps({"code": self.status, "message": "no"}).encode(), "application/json", self.status)
        elif name == "GetDataset":
            self._answer(json.dumps({"currentVersionNumber": 3}).encode(), "application/json")
        else:
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as file:
                for path, data in FILMS.items():
                    file.writestr(path, data)
            self._answer(archive.getvalue(), "application/zip")

    def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Kaggle-HubVersion", "99.0.0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Kaggle]]:
    """A Kaggle of this test's own, an empty cache and no credentials."""
    from kagglesdk import kaggle_env

    handler = type("Handler", (Kaggle,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, endpoint)
    for name in [name for name in os.environ if name.startswith("KAGGLE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield handler
    server.shutdown()
    server.server_close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_downloads_and_unpacks_once(kaggle: type[Kaggle]) -> None:
    assert contents(download_dataset(HANDLE)) == FILMS
    assert [name for name, _ in kaggle.seen] == ["GetDataset", "DownloadDataset"]
    assert contents(download_dataset(HANDLE)) == FILMS
    assert [name for name, _ in kaggle.seen] == ["GetDataset", "DownloadDataset", "GetDataset"]


def test_a_named_version_in_the_cache_needs_no_connection(kaggle: type[Kaggle]) -> None:
    download_dataset(f"{HANDLE}/versions/2")
    asked = len(kaggle.seen)
    kaggle.status = 500
    assert contents(download_dataset(f"{HANDLE}/versions/2")) == FILMS
    assert len(kaggle.seen) == asked


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"KAGGLE_API_TOKEN": TOKEN}, f"Bearer {TOKEN}"),
        ({"KAGGLE_USERNAME": "me", "KAGGLE_KEY": TOKEN}, "Basic "),
        ({}, None),
    ],
)
def test_credentials_follow_its_conventions(
    kaggle: type[Kaggle], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    download_dataset(HANDLE)
    sent = kaggle.seen[0][1]
    assert sent == expected if expected is None else sent is not None and sent.startswith(expected)


@pytest.mark.parametrize("status", [401, 403])
def test_missing_credentials_say_how_to_set_them(kaggle: type[Kaggle], status: int) -> None:
    kaggle.status = status
    with pytest.raises(SourceError, match=rf"HTTP {status}.*none are set.*KAGGLE_API_TOKEN"):
        download_dataset(HANDLE)


def test_refused_credentials_are_not_shown(kaggle: type[Kaggle], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    kaggle.status = 403
    with pytest.raises(SourceError, match="refuses somebody/chest-films to these credentials") as caught:
        download_dataset(HANDLE)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(("status", "message"), [(404, "check OWNER/DATASET"), (503, "run again later")])
def test_other_refusals(kaggle: type[Kaggle], status: int, message: str) -> None:
    kaggle.status = status
    with pytest.raises(SourceError, match=message):
        download_dataset(HANDLE)


def test_without_a_connection(kaggle: type[Kaggle], monkeypatch: pytest.MonkeyPatch) -> None:
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:1")
    with pytest.raises(SourceError, match="Kaggle must be reachable"):
        download_dataset(HANDLE)


def test_a_cache_that_cannot_be_written(kaggle: type[Kaggle], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(SourceError, match="KAGGLEHUB_CACHE"):
        download_dataset(HANDLE)


def test_is_silent_and_logs_as_a_library(
    kaggle: type[Kaggle], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    with caplog.at_level(logging.INFO):
        download_dataset(HANDLE)
    assert capfd.readouterr().out == ""
    assert "Downloading" in caplog.text
    assert TOKEN not in caplog.text
