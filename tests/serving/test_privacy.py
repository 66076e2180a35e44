"""A patient's words in a header, a file name or an id appear nowhere that outlives the request."""

import gzip
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from pydicom import dcmread

from support.films import dicom
from support.ports import free_port
from support.predictor import started

CANARY = "CANARYZQX7"


class Collector(BaseHTTPRequestHandler):
    """In the place of the drift sidecar: keeps what it is sent."""

    received: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(str(self.headers).encode() + body)
        self.send_response(202)
        self.end_headers()

    def log_message(self, *args) -> None:
        """Quiet."""


@pytest.fixture
def sidecar():
    server = HTTPServer(("127.0.0.1", free_port()), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Collector.received.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def words_of(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield str(path).encode() + (gzip.decompress(data) if path.suffix == ".gz" else data)


def test_a_canary_is_found_nowhere(phantom_run, film, tmp_path, sidecar, monkeypatch):
    import numpy as np
    from PIL import Image

    spool = tmp_path / "tmp"
    spool.mkdir()
    monkeypatch.setenv("TMPDIR", str(spool))
    pixels = np.asarray(Image.open(io.BytesIO(film)))
    names = {"PatientName": CANARY, "PatientID": CANARY, "AccessionNumber": CANARY, "InstitutionName": CANARY}
    dicoms = [dicom(pixels, **names), dicom(pixels, BodyPartExamined="HAND", **names)]
    dicoms += [dicom(pixels, **names)[:-500], dicom(pixels, Modality=CANARY, **names)]
    answers = []
    with started(phantom_run.bundle, tmp_path / "state", "--drift-url", sidecar, "--log-level", "DEBUG") as service:
        with service.client() as client:
            headers = {"X-Request-Id": CANARY, "User-Agent": CANARY, "X-Patient": CANARY}
            for data in dicoms:
                padded = data + bytes(3 * 2**20)  # an upload of this size would be spooled to disk
                files = {"file": (f"{CANARY}.dcm", padded, "application/dicom")}
                answers.append(client.post(f"/predict?patient={CANARY}", files=files, headers=headers))
                answers.append(client.post("/batch_predict", files={"files": (f"{CANARY}.dcm", data)}, headers=headers))
                tensor = {"name": CANARY, "shape": [1], "datatype": "BYTES"}
                for change in ({"data": ["eA=="]}, {}, {"data": CANARY}, {"parameters": {"binary_data_size": CANARY}}):
                    body = {"id": CANARY, "inputs": [tensor | change]}
                    answers.append(client.post("/v2/models/cxr/infer", content=json.dumps(body), headers=headers))
            answers.append(client.get(f"/{CANARY}", headers=headers))
            answers.append(client.get(f"/v2/models/{CANARY}", headers=headers))
            answers.append(client.get("/model", headers={"X-API-Key": CANARY}))
            metrics = client.get("/metrics").content
        service.process.terminate()
        service.process.wait(30)
    assert any(answer.status_code == 200 for answer in answers)
    for answer in answers:
        assert CANARY.encode() not in answer.content
        assert CANARY not in str(answer.headers)
    assert CANARY.encode() not in metrics
    assert Collector.received
    assert not [event for event in Collector.received if CANARY.encode() in event]
    kept = list(words_of(tmp_path))
    assert any(b"prediction" in words for words in kept)
    assert not [words[:200] for words in kept if CANARY.encode() in words]


def test_the_picture_is_kept_nowhere(phantom_run, film, tmp_path):
    with started(phantom_run.bundle, tmp_path / "state") as service, service.client() as client:
        client.post("/predict", files={"file": ("a.png", film)}).raise_for_status()
        service.process.terminate()
        service.process.wait(30)
    assert not [words[:200] for words in words_of(tmp_path) if film[200:300] in words]


def test_the_canary_would_be_found(film):
    """The film that carries it does carry it."""
    import numpy as np
    from PIL import Image

    data = dicom(np.asarray(Image.open(io.BytesIO(film))), PatientName=CANARY)
    assert str(dcmread(io.BytesIO(data)).PatientName) == CANARY
