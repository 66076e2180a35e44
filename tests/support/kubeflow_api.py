"""A server that speaks the part of the Kubeflow Pipelines API that this project uses: for flow, not for schema.

It keeps experiments, pipelines, their versions, runs and recurring runs as the real one answers them, finds them by
name as it does, and fails when it is told to.
"""

import json
import re
import threading
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

PREFIX = "/apis/v2beta1/"
_IDS = {"experiments": "experiment_id", "pipelines": "pipeline_id", "versions": "pipeline_version_id",
        "runs": "run_id", "recurringruns": "recurring_run_id"}  # fmt: skip


class KubeflowApi:
    """The server; start it with `with`.

    Attributes:
        url: its address.
        kept: what it keeps, by kind.
        authorization: header that a request must have; None lets in everybody.
        failing: statuses of the next answers; requests for health are answered.
        lose_answer: a run is made, and nobody hears of it.
        seen: methods and paths of all requests but those for health.
    """

    def __init__(self, *, token: str | None = None) -> None:
        self.kept: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _IDS}
        self.authorization = token and f"Bearer {token}"
        self.failing: list[int] = []
        self.seen: list[str] = []
        self.lose_answer = False
        self.lock = threading.Lock()

    def __enter__(self) -> "KubeflowApi":
        api = self

        class Handler(_Handler):
            kubeflow = api

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def end(self, *, state: str = "SUCCEEDED", created: datetime | None = None) -> None:
        """End all runs; `created` makes them as old as that."""
        for run in self.kept["runs"]:
            run["state"] = state
            if created is not None:
                run["created_at"] = created.isoformat()

    def create(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Keep an object under an id of its own."""
        with self.lock:
            made = {
                **body,
                _IDS[kind]: f"{kind}-{len(self.kept[kind]) + 1}",
                "created_at": datetime.now(UTC).isoformat(),
            }
            if kind == "runs":
                made["state"] = "PENDING"
            self.kept[kind].append(made)
            return made

    def named(self, kind: str, query: dict[str, list[str]], **equal: str) -> list[dict[str, Any]]:
        """Objects that a list request asks for."""
        found = list(self.kept[kind])
        if "filter" in query:
            for predicate in json.loads(query["filter"][0])["predicates"]:
                assert (predicate["operation"], predicate["key"]) in (("EQUALS", "display_name"), (1, "display_name"))
                found = [one for one in found if one["display_name"] == predicate["stringValue"]]
        for name, value in equal.items():
            found = [one for one in found if one.get(name) == value]
        if query.get("sort_by") == ["created_at desc"]:
            found.sort(key=lambda one: one["created_at"], reverse=True)
        return found[: int(query.get("page_size", ["10"])[0] or 10)]


class _Handler(BaseHTTPRequestHandler):
    kubeflow: KubeflowApi

    def do_GET(self) -> None:
        path, query = self._open()
        if self._refused(path):
            return
        if path == "healthz":
            self._answer(200, {"multi_user": False})
        elif match := re.fullmatch(r"pipelines/([^/]+)/versions", path):
            found = self.kubeflow.named("versions", query, pipeline_id=match[1])
            self._answer(200, {"pipeline_versions": found})
        elif path in ("experiments", "pipelines", "recurringruns"):
            name = {"recurringruns": "recurringRuns"}.get(path, path)
            self._answer(200, {name: self.kubeflow.named(path, query)})
        elif path == "runs":
            self._answer(200, {"runs": self.kubeflow.named("runs", query, experiment_id=query["experiment_id"][0])})
        else:
            self._answer(404, {"error": f"no {path}"})

    def do_POST(self) -> None:
        path, query = self._open()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._refused(path):
            return
        if path == "pipelines/upload_version":
            self._answer(200, self.kubeflow.create("versions", self._uploaded(body, query)))
            return
        made = self.kubeflow.create(path, json.loads(body))
        if self.kubeflow.lose_answer and path == "runs":
            self.close_connection = True
            return
        self._answer(200, made)

    def do_DELETE(self) -> None:
        path, _ = self._open()
        if self._refused(path):
            return
        kind, _, name = path.partition("/")
        with self.kubeflow.lock:
            self.kubeflow.kept[kind] = [one for one in self.kubeflow.kept[kind] if one[_IDS[kind]] != name]
        self._answer(200, {})

    def _open(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        path = url.path.removeprefix(PREFIX)
        if path != "healthz":
            self.kubeflow.seen.append(f"{self.command} {path}")
        return path, parse_qs(url.query)

    def _refused(self, path: str) -> bool:
        wanted = self.kubeflow.authorization
        if wanted and self.headers.get("Authorization") != wanted:
            self._answer(401, {"error": "who are you?"})
            return True
        if self.kubeflow.failing and path != "healthz":
            self._answer(self.kubeflow.failing.pop(0), {"error": "not now"})
            return True
        return False

    def _uploaded(self, body: bytes, query: dict[str, list[str]]) -> dict[str, Any]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
        spec, platform = yaml.safe_load_all(part.get_payload(decode=True))
        return {
            "display_name": query["name"][0],
            "pipeline_id": query["pipelineid"][0],
            "description": query.get("description", [""])[0],
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform},
        }

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
