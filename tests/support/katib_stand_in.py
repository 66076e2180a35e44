"""The part of a Kubernetes API that a search in Katib uses, over HTTP: objects, watches, pods and their logs.

For the flow of requests alone: it checks nothing that it is given.
"""

import copy
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NAMESPACE = "films"
CREATED = "2026-01-31T12:00:00Z"


class Cluster:
    """What the cluster holds; tests change it as Katib would."""

    def __init__(self):
        self.experiments, self.trials, self.pods, self.logs = {}, [], [], {}
        self.requests = []
        self.refusals = {}  # method and path → status codes that it answers first
        self.changed = threading.Condition()
        self.events = []
        self.version = 100
        self.oldest = 0  # versions before are gone
        self.expired = 0  # how often a watcher was told so
        self.watches = 0

    def change(self, kind, name, value=None):
        with self.changed:
            self.version += 1
            if kind == "DELETED":
                value = self.experiments.pop(name)
            value["metadata"]["resourceVersion"] = str(self.version)
            if kind != "DELETED":
                self.experiments[name] = value
            self.events.append((self.version, kind, name, copy.deepcopy(value)))
            self.changed.notify_all()

    def set_status(self, name, **status):
        self.change("MODIFIED", name, {**copy.deepcopy(self.experiments[name]), "status": status})

    def forget(self):
        """Drop all versions so far, as etcd's compaction does."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.changed.notify_all()

    def until(self, condition, seconds=10):
        """Wait for something that the client does."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds)

    def add_trial(self, experiment, name, condition, assignments, best=None, *, minute=0, message=""):
        metrics = (
            [] if best is None else [{"name": "validation_macro_auroc", "max": best, "min": "0.5", "latest": best}]
        )
        self.trials.append(
            {
                "metadata": {
                    "name": name,
                    "creationTimestamp": f"2026-01-31T12:{minute:02}:00Z",
                    "labels": {"katib.kubeflow.org/experiment": experiment},
                },
                "spec": {"parameterAssignments": [{"name": n, "value": v} for n, v in assignments.items()]},
                "status": {
                    "conditions": [
                        {"type": "Created", "status": "True"},
                        {"type": "Running", "status": "False"},
                        {"type": condition, "status": "True", "message": message},
                    ],
                    "observation": {"metrics": metrics},
                    "startTime": CREATED,
                    "completionTime": "2026-01-31T12:01:30Z",
                },
            }
        )

    def add_pod(self, trial, logs=None, status=None):
        name = f"{trial}-x"
        labels = {"batch.kubernetes.io/job-name": trial}
        meta = {"name": name, "creationTimestamp": CREATED, "labels": labels}
        self.pods.append({"metadata": meta, "status": status or {"phase": "Failed"}})
        self.logs |= {(name, container): text for container, text in (logs or {}).items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._serve("GET")

    def do_POST(self):
        self._serve("POST")

    def do_DELETE(self):
        self._serve("DELETE")

    def log_message(self, *words):
        pass

    def _serve(self, method):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        cluster = self.server.cluster
        with cluster.changed:
            cluster.requests.append((method, url.path, query, copy.deepcopy(body)))
            cluster.changed.notify_all()
        refusals = cluster.refusals.get((method, "watch" if "watch" in query else url.path.rpartition("/")[2]))
        if refusals:
            self._refuse(refusals.pop(0))
            return
        parts = url.path.strip("/").split("/")
        assert parts[parts.index("namespaces") + 1] == NAMESPACE
        rest = parts[parts.index("namespaces") + 2 :]
        getattr(self, f"_{method.lower()}_{rest[0]}")(rest[1:], query, body)

    def _post_experiments(self, _, query, body):
        cluster, name = self.server.cluster, body["metadata"]["name"]
        if name in cluster.experiments:
            self._refuse(409)
            return
        cluster.change("ADDED", name, body)
        self._answer(201, body)

    def _delete_experiments(self, names, query, body):
        if names[0] not in self.server.cluster.experiments:
            self._refuse(404)
            return
        self.server.cluster.change("DELETED", names[0])
        self._answer(200, {"kind": "Status", "status": "Success"})

    def _get_experiments(self, names, query, body):
        if "watch" in query:
            self._watch(query)
        elif names[0] in self.server.cluster.experiments:
            self._answer(200, self.server.cluster.experiments[names[0]])
        else:
            self._refuse(404)

    def _get_trials(self, _, query, body):
        name, _, value = query["labelSelector"].partition("=")
        items = [trial for trial in self.server.cluster.trials if trial["metadata"]["labels"].get(name) == value]
        self._answer(200, {"items": items})

    def _get_pods(self, names, query, body):
        cluster = self.server.cluster
        if not names:
            name, _, value = query["labelSelector"].partition("=")
            items = [pod for pod in cluster.pods if pod["metadata"]["labels"].get(name) == value]
            self._answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
            return
        text = cluster.logs.get((names[0], query["container"]))
        if text is None:
            self._refuse(400)
            return
        lines = text.splitlines(keepends=True)[-int(query["tailLines"]) :]
        self._send(200, "".join(lines).encode(), "text/plain")

    def _watch(self, query):
        cluster = self.server.cluster
        seen, name = int(query["resourceVersion"]), query["fieldSelector"].removeprefix("metadata.name=")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + int(query["timeoutSeconds"])
        with cluster.changed:
            cluster.watches += 1
            cluster.changed.notify_all()
            while not self.server.closing and (left := end - time.monotonic()) > 0:
                if seen < cluster.oldest:
                    cluster.expired += 1
                    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    self._chunk({"type": "ERROR", "object": status})
                    break
                for version, kind, changed, value in cluster.events:
                    if version > seen and changed == name:
                        self._chunk({"type": kind, "object": value})
                seen = cluster.version
                cluster.changed.wait(min(left, 0.05))
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, value):
        data = json.dumps(value).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _refuse(self, code):
        self._answer(code, {"kind": "Status", "code": code, "message": f"told to answer {code}"})

    def _answer(self, code, value):
        self._send(code, json.dumps(value).encode(), "application/json")

    def _send(self, code, data, kind):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    closing = False

    def handle_error(self, request, client_address):
        """A client that closes its watch is no error."""


@contextmanager
def cluster_stand_in():
    """Yield a cluster and its address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.cluster = Cluster()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.cluster, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.closing = True
        server.shutdown()
        server.server_close()
        thread.join()
