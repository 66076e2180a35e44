"""Prometheus' query API over HTTP, for the flow of requests alone: answers are given, queries are not evaluated."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SERIES = {
    "p99": "histogram_quantile", "errors": "status=~", "requests": "cxr_requests_total",
    "predicted": "cxr_predictions_total", "refused": "cxr_refusals_total", "referred": "cxr_referrals_total",
}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        text = parse_qs(urlsplit(self.path).query)["query"][0]
        server.queries.append(text)
        of = server.stable if 'digest!="' in text else server.canary
        name = next(name for name, part in SERIES.items() if part in text)
        result = [{"metric": {}, "value": [0, str(of[name])]}] if name in of else []
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        server.failures -= 1
        self.send_response(503 if server.failures >= 0 else server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def prometheus() -> Iterator[ThreadingHTTPServer]:
    """A server whose `canary` and `stable` map a figure's name to its value; `url` is its address.

    As many answers as `failures` says are 503.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.canary, server.stable, server.queries, server.status = {}, {}, [], 200
    server.failures = 0
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
