"""The service as its users call it over HTTPS."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cxr.contracts.bundle import read_bundle
from cxr.errors import REJECTION_CODES
from cxr.steps.predict import Reader
from support.films import SECRETS, chest, dicom, encoded
from support.trail import events_of

PROBLEM = {"request_id", "code", "reason", "what_to_do"}


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture(scope="session")
def reader(phantom_run):
    return Reader(phantom_run.bundle)


def upload(data, name="file"):
    return {"files": {name: ("film.png", data)}}


def refused(response, code, status=422):
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == PROBLEM
    assert body["code"] == code
    assert body["reason"]
    assert body["what_to_do"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def test_a_film_is_answered_as_cxr_predict_answers_it(client, service, film, reader):
    body = client.post("/predict", **upload(film)).raise_for_status().json()
    expected = reader.read(film, name="")
    assert body["outcome"] == "classified"
    assert body["decision"] == expected.decision
    assert body["bundle"] == expected.bundle
    assert body["operating_points"] == expected.operating_points
    assert body["referred"] == list(expected.referred)
    assert body["prediction_set"] == list(expected.prediction_set)
    assert sum(body["probabilities"].values()) == pytest.approx(1)
    assert body["confidence"] == max(body["probabilities"].values())
    # `cxr predict` computes in f32, the service in bf16 where the processor does
    tolerance = service.tolerance()
    for finding, probability in expected.probabilities.items():
        assert body["probabilities"][finding] == pytest.approx(probability, abs=tolerance)
    assert (body["width"], body["height"]) == (256, 256)


def test_what_was_answered_is_in_the_audit_trail(client, service, film):
    told = client.post("/predict", **upload(film)).raise_for_status().json()
    recorded = next(event for event in events_of(service.state) if event.get("request_id") == told["request_id"])
    for field in ("probabilities", "decision", "confidence", "distance", "referred", "prediction_set", "bundle"):
        assert recorded[field] == told[field]


def test_a_film_may_be_the_whole_body_and_a_dicom(client, film, phantom_run):
    form = client.post("/predict", **upload(film)).json()
    raw = client.post("/predict", content=film, headers={"Content-Type": "image/png"}).json()
    pixels = np.asarray(Image.open(io.BytesIO(film)))
    dcm = client.post("/predict", content=dicom(pixels), headers={"Content-Type": "application/dicom"}).json()
    assert form["probabilities"] == raw["probabilities"] == dcm["probabilities"]


def test_a_batch_keeps_its_order_and_a_refused_film_stops_no_other(client, service, film):
    files = [("files", ("a", film)), ("files", ("b", b"no picture")), ("files", ("c", film))]
    results = client.post("/batch_predict", files=files).raise_for_status().json()["results"]
    assert [result["outcome"] for result in results] == ["classified", "refused", "classified"]
    assert results[1]["code"] == "not_an_image"
    assert results[0]["probabilities"] == pytest.approx(results[2]["probabilities"], abs=service.tolerance())


def test_a_batch_has_one_to_ten_films(client, film):
    ten = [("files", (str(place), film)) for place in range(10)]
    assert len(client.post("/batch_predict", files=ten).raise_for_status().json()["results"]) == 10
    refused(client.post("/batch_predict", files=[*ten, ten[0]]), "too_many_films")
    refused(client.post("/batch_predict", files=[("other", ("a", film))]), "invalid_request")
    refused(client.post("/batch_predict", content=film), "invalid_request")


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        (b"", "empty_file", 422),
        (b"no picture", "not_an_image", 415),
        (b"GIF89a" + bytes(99), "unsupported_encoding", 415),
        (encoded(np.zeros((300, 300), np.uint8)), "constant", 422),
        (encoded(chest(40, 40)), "too_small", 422),
        (encoded(chest())[:-300], "corrupt", 422),
        (dicom(chest(), Modality="CT"), "wrong_modality", 422),
        (dicom(chest(), BodyPartExamined="HAND"), "wrong_body_part", 422),
        (dicom(chest(), ViewPosition="LL"), "wrong_view", 422),
        (encoded(np.zeros((9000, 9000), np.uint8)), "too_large", 413),
    ],
)
def test_what_is_no_film_is_refused_with_its_reason(client, data, code, status):
    assert code in REJECTION_CODES
    refused(client.post("/predict", **upload(data)), code, status)


def test_a_film_that_lies_on_its_side_or_is_no_chest_is_refused(client, film):
    turned = np.rot90(np.asarray(Image.open(io.BytesIO(film))))
    refused(client.post("/predict", **upload(encoded(turned))), "rotated")
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    assert client.post("/predict", **upload(encoded(noise))).json()["code"] in ("not_a_chest_film", "rotated")


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(client):
    refused(client.post("/predict", content=bytes(66 * 2**20)), "too_large", 413)


@pytest.mark.parametrize(
    "content", [b"--x\r\nnonsense", b"", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n']
)
def test_a_broken_form_is_a_problem(client, content):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(client.post("/predict", content=content, headers=headers), "invalid_request")
    refused(
        client.post("/predict", content=content, headers={"Content-Type": "multipart/form-data"}), "invalid_request"
    )


def test_heat_maps_have_the_films_size_and_follow_finding_and_opacity(client, film):
    def picture(**given):
        response = client.post("/explain", params=given, **upload(film)).raise_for_status()
        assert response.headers["content-type"] == "image/png"
        return response, Image.open(io.BytesIO(response.content))

    response, overlay = picture()
    assert overlay.size == (256, 256)
    decision = client.post("/predict", **upload(film)).json()["decision"]
    assert response.headers["x-cxr-finding"] == decision
    _, none = picture(opacity=0)
    channels = np.asarray(none).astype(int)
    assert (channels[..., 0] == channels[..., 1]).all()
    maps = [np.asarray(picture(finding=name, format="map")[1]) for name in ("Normal", "Tuberculosis")]
    assert maps[0].shape == (256, 256, 4)
    assert (maps[0] != maps[1]).any()
    refused(client.post("/explain", params={"finding": "Cancer"}, **upload(film)), "unknown_finding")
    refused(client.post("/explain", params={"opacity": 2}, **upload(film)), "invalid_request")


def test_a_preview_is_the_film_upright(client, film):
    preview = Image.open(io.BytesIO(client.post("/preview", **upload(film)).raise_for_status().content))
    sent = Image.open(io.BytesIO(film)).resize(preview.size)
    assert np.corrcoef(np.asarray(preview).ravel(), np.asarray(sent).ravel())[0, 1] > 0.99


def test_the_model_says_what_it_is(client, phantom_run):
    bundle = read_bundle(phantom_run.bundle)
    model = client.get("/model").raise_for_status().json()
    assert model["digest"] == bundle.digest
    assert model["card"] == (phantom_run.bundle / "MODEL_CARD.md").read_text()
    assert len(model["operating_points"]) == len(bundle.manifest.calibration.operating_points)
    assert client.get("/health").json()["bundle"] == bundle.digest


def test_open_paths_need_no_key_and_all_others_one_with_their_scope(service, film):
    with service.client(None) as nobody:
        for path in ("/", "/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
            assert nobody.get(path).status_code == 200, path
        for path in ("/metrics", "/drift_report", "/model", "/v2", "/v2/models", "/audit/head", "/nothing"):
            refused(nobody.get(path), "unauthenticated", 401)
        refused(nobody.post("/predict", **upload(film)), "unauthenticated", 401)
        wrong = {"X-API-Key": service.keys["predict"][:-43] + 43 * "A"}
        refused(nobody.get("/model", headers=wrong), "unauthenticated", 401)
        bearer = {"Authorization": f"Bearer {service.keys['predict']}"}
        assert nobody.get("/model", headers=bearer).status_code == 200
    with service.client("predict") as predict, service.client("audit") as audit, service.client("admin") as admin:
        refused(predict.post("/admin/reload"), "forbidden", 403)
        refused(predict.get("/audit/head"), "forbidden", 403)
        refused(admin.post("/predict", **upload(film)), "forbidden", 403)
        assert audit.get("/audit/head").json()["head"]["sequence"] > 0
        for any_key in (predict, audit, admin):
            assert any_key.get("/metrics").status_code == 200


def test_every_answer_has_the_security_headers_and_a_request_id(service):
    with service.client(None) as client:
        for path in ("/", "/model", "/nothing", "/docs"):
            headers = client.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'self'")
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers
            assert headers["x-request-id"]


def test_metrics_count_what_happened_and_name_nobody(service, client, film):
    client.post("/predict", **upload(film))
    client.post("/predict", **upload(b"no picture"))
    client.get("/" + SECRETS["PatientID"])
    metrics = client.get("/metrics").text
    assert 'cxr_refusals_total{code="not_an_image"}' in metrics
    for name in ("cxr_predictions_total", "cxr_confidence_bucket", "cxr_distance_ratio_bucket",
                 "cxr_batch_films_bucket",
                 'cxr_stage_seconds_bucket{le="+Inf",stage="decode"}', 'stage="forward"', 'stage="queue"',
                 'stage="audit"', "cxr_audit_records_total", "cxr_ready 1.0", "cxr_bundle_info"):  # fmt: skip
        assert name in metrics
    assert SECRETS["PatientID"] not in metrics


def test_the_description_of_the_api_is_complete_and_says_nothing_twice(service):
    with service.client(None) as client:
        api = client.get("/openapi.json").json()
    assert {"/predict", "/batch_predict", "/explain", "/preview", "/model", "/health", "/drift_report",
            "/v2/models/{model_name}/infer"} <= set(api["paths"])  # fmt: skip
    operations = [method["operationId"] for path in api["paths"].values() for method in path.values()]
    assert len(operations) == len(set(operations))
    assert not [path for path in api["paths"] if path.startswith("/v1")]
    assert "Duplicate Operation" not in service.log.read_text()


def test_logs_are_json_and_hold_neither_paths_nor_files(service, client, film):
    client.get("/secret-path-of-a-client?name=somebody")
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[-1])
    assert any(line.get("route") == "other" and line["status"] == 404 for line in lines)
    assert "secret-path" not in service.log.read_text()
    assert "somebody" not in service.log.read_text()
