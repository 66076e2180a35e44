"""Enough of a Kubernetes API over HTTP for tests of a flow: objects of any kind, watches, pods' logs, and refusals.

It checks nothing that it is given: whether an object is valid is for the CRDs and the typed models.
"""

import copy
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

CREATED = "2026-01-31T12:00:00Z"
Value = dict[str, Any]
Key = tuple[str, str, str]


@dataclass
class _Failure:
    left: int
    status: int  # 0 drops the connection
    method: str | None
    plural: str | None
    after: bool = False


@dataclass
class _Held:
    objects: dict[Key, Value] = field(default_factory=dict)
    events: list[tuple[int, str, Key, Value]] = field(default_factory=list)
    requests: list[tuple[str, str, Value, Any]] = field(default_factory=list)
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    scripts: dict[tuple[str, str], list[tuple[float, Value]]] = field(default_factory=dict)
    failures: list[_Failure] = field(default_factory=list)
    version: int = 100
    oldest: int = 0


class KubeApi:
    """A server on this machine, for the time of a `with` block.

    Args:
        token: bearer token that every request must bring; none is asked for when None.

    Attributes:
        objects: (plural, namespace, name) to the object; to be changed by the methods only, which tell the watches.
        requests: every request: method, path, query, body.
        logs: (pod, container) to its text; container `NAME previous` is the run before.
    """

    def __init__(self, *, token: str | None = None) -> None:
        self.held, self.token, self.closing = _Held(), token, False
        self.changed = threading.Condition(threading.RLock())
        self.objects, self.requests, self.logs = self.held.objects, self.held.requests, self.held.logs
        self.watches = self.expired = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "KubeApi":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        named = {
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "tester", "user": {"token": self.token} if self.token else {}}],
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": "tester"}}],
        }
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "test", **named}))
        return path

    def get(self, plural: str, name: str) -> Value:
        """The one object of a name, in whichever namespace."""
        return self.objects[self._key(plural, name)]

    def add(self, plural: str, value: Value) -> None:
        """Put an object there, as a controller would."""
        meta = value["metadata"]
        with self.changed:
            self.store((plural, meta.get("namespace", "default"), meta["name"]), copy.deepcopy(value))

    def remove(self, plural: str, name: str) -> None:
        """Take an object away."""
        self.store(self._key(plural, name), None)

    def set_status(self, plural: str, name: str, status: Value) -> None:
        """Replace the status of an object; its generation stays."""
        with self.changed:
            key = self._key(plural, name)
            self.store(key, {**copy.deepcopy(self.objects[key]), "status": status})

    def script(self, plural: str, name: str, statuses: list[tuple[float, Value]]) -> None:
        """Statuses that an object gets after every change of its spec: seconds to wait, and the status."""
        self.held.scripts[plural, name] = statuses

    def fail(
        self, *, next: int = 1, status: int = 0, method: str | None = None, plural: str | None = None,
        after: bool = False,
    ) -> None:  # fmt: skip
        """Refuse the next requests, or drop their connections (status 0), instead of, or `after`, doing them.

        Args:
            next: requests that it is done to.
            status: of the answer; 0 drops the connection.
            method: only of this one, `WATCH` among them.
            plural: only those of this one.
            after: do what is asked, and then fail.
        """
        self.held.failures.append(_Failure(next, status, method, plural, after))

    def forget(self) -> None:
        """Drop all versions so far: watches that begin at one of them end with 410."""
        with self.changed:
            self.held.version += 1
            self.held.oldest = self.held.version
            self.changed.notify_all()

    def until(self, condition: Any, seconds: float = 10) -> None:
        """Wait for something that the client does."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds)

    def store(self, key: Key, value: Value | None) -> Value:
        """Keep an object, or remove it with None, and tell the watches."""
        held = self.held
        with self.changed:
            before = held.objects.get(key)
            held.version += 1
            kind = "DELETED" if value is None else "MODIFIED" if before else "ADDED"
            value = copy.deepcopy(before if value is None else value)
            meta = value["metadata"]
            meta["resourceVersion"] = str(held.version)
            meta.setdefault("uid", f"uid-{held.version}")
            meta.setdefault("creationTimestamp", CREATED)
            changed = before is None or before.get("spec") != value.get("spec")
            meta["generation"] = (before["metadata"]["generation"] if before else 0) + changed
            if kind == "DELETED":
                del held.objects[key]
            else:
                held.objects[key] = value
            held.events.append((held.version, kind, key, copy.deepcopy(value)))
            self.changed.notify_all()
            if changed and kind != "DELETED" and (key[0], key[2]) in held.scripts:
                threading.Thread(target=self._play, args=(key, meta["generation"], meta["uid"]), daemon=True).start()
            return value

    def _play(self, key: Key, generation: int, uid: str) -> None:
        for seconds, status in self.held.scripts[key[0], key[2]]:
            time.sleep(seconds)
            with self.changed:
                value = self.objects.get(key)
                meta = value["metadata"] if value else {}
                if self.closing or (meta.get("generation"), meta.get("uid")) != (generation, uid):
                    return
                self.store(key, {**copy.deepcopy(value), "status": {"observedGeneration": generation, **status}})

    def _key(self, plural: str, name: str) -> Key:
        (key,) = [key for key in self.objects if (key[0], key[2]) == (plural, name)]
        return key


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        pass

    def _serve(self) -> None:
        self.api = self.server.api
        url = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body = yaml.safe_load(body) if body else None
        parts = url.path.strip("/").split("/")
        where = parts.index("namespaces")
        self.namespace, self.plural, *self.rest = parts[where + 1 :]
        self.key = (self.plural, self.namespace, self.rest[0] if self.rest else "")
        with self.api.changed:
            self.api.requests.append((self.command, url.path, self.query, copy.deepcopy(self.body)))
            self.api.changed.notify_all()
        try:
            self._check_token()
            failure = self._failure()
            if failure and not failure.after:
                self._break(failure)
                return
            answer = getattr(self, f"_{self.command.lower()}")()
            if failure:
                self._break(failure)
            elif answer is not None:
                self._answer(201 if self.command == "POST" else 200, answer)
        except _Refused as refused:
            self._answer(refused.status, _status(refused.status, refused.reason))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names of http.server

    def _check_token(self) -> None:
        if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
            raise _Refused(401, "Unauthorized")

    def _failure(self) -> _Failure | None:
        method = "WATCH" if self.query.get("watch") else self.command
        with self.api.changed:
            for failure in self.api.held.failures:
                if failure.left and failure.method in (None, method) and failure.plural in (None, self.plural):
                    failure.left -= 1
                    return failure
        return None

    def _break(self, failure: _Failure) -> None:
        if failure.status:
            raise _Refused(failure.status, "told to refuse")
        self.close_connection = True

    def _post(self) -> Value:
        key = (self.plural, self.namespace, self.body["metadata"]["name"])
        with self.api.changed:
            if key in self.api.objects:
                raise _Refused(409, "AlreadyExists")
            return self.api.store(key, self.body)

    def _put(self) -> Value:
        with self.api.changed:
            self._same_version(self._found())
            return self.api.store(self.key, self.body)

    def _delete(self) -> Value:
        with self.api.changed:
            self._found()
            self.api.store(self.key, None)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _get(self) -> Value | None:
        if self.rest[1:] == ["log"]:
            self._log()
            return None
        if self.rest:
            return self._found()
        if self.query.get("watch"):
            self._watch()
            return None
        with self.api.changed:
            items = [
                value for key, value in self.api.objects.items() if key[:2] == self.key[:2] and self._wanted(value)
            ]
            version = str(self.api.held.version)
        return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}

    def _found(self) -> Value:
        with self.api.changed:
            if self.key not in self.api.objects:
                raise _Refused(404, "NotFound")
            return copy.deepcopy(self.api.objects[self.key])

    def _same_version(self, found: Value) -> None:
        given = self.body["metadata"].get("resourceVersion") if "metadata" in self.body else None
        if given is not None and given != found["metadata"]["resourceVersion"]:
            raise _Refused(409, "Conflict: the object has been modified")

    def _wanted(self, value: Value) -> bool:
        labels, name = value["metadata"].get("labels", {}), value["metadata"]["name"]
        chosen = [term.split("=", 1) for term in self.query.get("labelSelector", "").split(",") if term]
        field_name = self.query.get("fieldSelector", "").removeprefix("metadata.name=")
        return all(labels.get(key) == wanted for key, wanted in chosen) and field_name in ("", name)

    def _log(self) -> None:
        container = self.query.get("container", "") + (
            " previous" if self.query.get("previous", "").lower() == "true" else ""
        )
        text = self.api.logs.get((self.key[2], container))
        if text is None:
            raise _Refused(400, f"container {container} is waiting to start")
        lines = text.splitlines(keepends=True)[-int(self.query.get("tailLines", "0")) :]
        self._send(200, "".join(lines).encode(), "text/plain")

    def _watch(self) -> None:
        api, seen = self.api, int(self.query.get("resourceVersion") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + float(self.query.get("timeoutSeconds", "60"))
        with api.changed:
            api.watches += 1
            api.changed.notify_all()
            while not api.closing and (left := end - time.monotonic()) > 0:
                if seen < api.held.oldest:
                    api.expired += 1
                    self._event("ERROR", _status(410, "Expired"))
                    break
                for version, kind, key, value in api.held.events:
                    if version > seen and key[:2] == self.key[:2] and self._wanted(value):
                        self._event(kind, value)
                seen = api.held.version
                api.changed.wait(min(left, 0.05))
            else:
                if self.query.get("allowWatchBookmarks") == "true":
                    self._event("BOOKMARK", {"metadata": {"resourceVersion": str(seen)}})
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, kind: str, value: Value) -> None:
        data = json.dumps({"type": kind, "object": value}).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _answer(self, status: int, value: Value) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: KubeApi

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that closes its watch is no error."""


def _status(code: int, reason: str) -> Value:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": reason,
    }
