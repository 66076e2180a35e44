import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cxr.serving.security.tls import development_certificate

SCRIPT = Path(__file__).parents[2] / "images" / "health.py"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(tls: Path | None = None) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "server.pem", tls / "server.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def status(*addresses: str) -> int:
    return subprocess.run([sys.executable, "-I", SCRIPT, *addresses], check=False).returncode


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with listening() as found:
        yield found


def test_an_answer_of_200_is_healthy(port):
    assert status(f"http://127.0.0.1:{port}/ready") == 0


def test_any_other_answer_is_not(port):
    assert status(f"http://127.0.0.1:{port}/starting") == 1


def test_nobody_there_is_not():
    assert status("http://127.0.0.1:1/ready") == 1


def test_no_address_is_not():
    assert status() == 1


def test_it_is_enough_that_one_protocol_answers(port):
    assert status(f"https://127.0.0.1:{port}/ready", f"http://127.0.0.1:{port}/ready") == 0


def test_https_is_asked_without_the_authority(tmp_path):
    development_certificate(tmp_path / "tls")
    with listening(tmp_path / "tls") as port:
        assert status(f"https://localhost:{port}/ready", f"http://localhost:{port}/ready") == 0
        assert status(f"http://localhost:{port}/ready") == 1
