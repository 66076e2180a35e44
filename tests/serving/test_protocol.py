"""The V2 protocol at a running service, by KServe's own clients over REST and gRPC."""

import asyncio
import base64
import io
import json
import ssl

import grpc
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.infer_type import RequestedOutput
from PIL import Image

from cxr.contracts.bundle import read_bundle
from cxr.contracts.studies import StudyIndex
from cxr.imaging.preprocess import network_input, stored_film
from cxr.imaging.read import read_film
from cxr.modeling.dataset import load_films
from support.films import dicom

OUTPUTS = ["probabilities", "decision", "confidence", "referred", "out_of_distribution_score"]
EVERYTHING = [*OUTPUTS, "referral_reasons", "prediction_set", "operating_points", "activation_map", "embedding"]


@pytest.fixture(params=["rest", "grpc"])
def infer(request, service):
    """Ask by one protocol: InferRequest in, name to array out."""

    async def rest(asked):
        config = RESTConfig(protocol="v2", verify=ssl.create_default_context(cafile=str(service.ca)))
        async with InferenceRESTClient(config) as client:
            headers = {"X-API-Key": service.keys["predict"]}
            return await client.infer(service.url, asked, headers=headers, model_name="cxr")

    async def over_grpc(asked):
        async with InferenceGRPCClient(service.grpc, use_ssl=True, root_certificates=str(service.ca)) as client:
            return await client.infer(asked, headers=(("x-api-key", service.keys["predict"]),))

    call = {"rest": rest, "grpc": over_grpc}[request.param]

    def ask(asked):
        answer = asyncio.run(call(asked))
        return {output.name: output.as_numpy() for output in answer.outputs}

    return ask


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def images(films, *, binary=True, outputs=None):
    tensor = InferInput("image", [len(films)], "BYTES")
    if binary:
        tensor.set_data_from_numpy(np.array(films, dtype=object), binary_data=True)
    else:
        tensor = InferInput("image", [len(films)], "BYTES", data=[base64.b64encode(film).decode() for film in films])
    requested = None if outputs is None else [RequestedOutput(name) for name in outputs]
    return InferRequest("cxr", [tensor], request_outputs=requested)


def test_a_batch_of_films_in_three_formats(infer, service, film):
    pixels = np.asarray(Image.open(io.BytesIO(film)))
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=95)
    answer = infer(images([film, dicom(pixels), jpeg.getvalue()]))
    assert list(answer) == OUTPUTS
    assert answer["probabilities"].shape == (3, 3)
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, atol=1e-5)
    # films of one request may be run in several passes
    np.testing.assert_allclose(answer["probabilities"][0], answer["probabilities"][1], atol=service.tolerance())
    np.testing.assert_allclose(answer["probabilities"][0], answer["probabilities"][2], atol=0.2)
    np.testing.assert_allclose(answer["confidence"], answer["probabilities"].max(1), atol=1e-6)
    assert answer["referred"].dtype == bool


def test_every_output_comes_when_asked_for_by_name(infer, film, phantom_run):
    manifest = read_bundle(phantom_run.bundle).manifest
    answer = infer(images([film], outputs=EVERYTHING))
    assert list(answer) == EVERYTHING
    shapes = {spec.name: spec.shape[1:] for spec in manifest.outputs}
    assert answer["activation_map"].shape == (1, *shapes["maps"])
    assert answer["embedding"].shape == (1, *shapes["embedding"])
    assert answer["prediction_set"].shape == (1, len(manifest.findings))
    assert answer["operating_points"].shape == (1, len(manifest.calibration.operating_points))
    assert answer["probabilities"].argmax() == manifest.findings.index(text(answer["decision"][0]))


def test_the_service_prepares_a_film_bit_for_bit_as_training_does(phantom_run):
    index = StudyIndex.read(phantom_run.folder / "split")
    preprocessing = read_bundle(phantom_run.bundle).manifest.preprocessing
    trained = load_films(phantom_run.folder / "studies", index, preprocessing)
    for row, image_id in enumerate(trained.index.films["image_id"][:20]):
        stored = (phantom_run.folder / "studies" / "images" / f"{image_id}.png").read_bytes()
        served = network_input(stored_film(read_film(stored).pixels, preprocessing), preprocessing)
        np.testing.assert_array_equal(served, trained.films[row])


def test_a_prepared_tensor_gets_the_answer_of_its_film(infer, film, phantom_run):
    preprocessing = read_bundle(phantom_run.bundle).manifest.preprocessing
    prepared = network_input(stored_film(read_film(film).pixels, preprocessing), preprocessing)
    tensor = InferInput("films", [1, 1, *prepared.shape], "FP32")
    tensor.set_data_from_numpy(prepared[None, None].astype(np.float32) / 255, binary_data=True)
    sent = infer(InferRequest("cxr", [tensor]))
    np.testing.assert_allclose(sent["probabilities"], infer(images([film]))["probabilities"], atol=1e-5)


def test_base64_in_json(service, film):
    body = {"id": "mine", "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES",
                                      "data": [base64.b64encode(film).decode()]}]}  # fmt: skip
    with service.client() as client:
        answer = client.post("/v2/models/cxr/infer", json=body).raise_for_status().json()
        plain = client.post("/predict", files={"file": film}).json()
    assert answer["id"] == "mine"
    assert answer["model_version"] == plain["bundle"]
    values = {output["name"]: output["data"] for output in answer["outputs"]}
    np.testing.assert_allclose(values["probabilities"], list(plain["probabilities"].values()), atol=1e-5)
    assert values["decision"] == [plain["decision"]]


def test_outputs_that_do_not_say_otherwise_are_binary_when_the_request_says_so(service, film):
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(film).decode()]}
    outputs = [{"name": "probabilities"}, {"name": "decision", "parameters": {"binary_data": False}}]
    body = {"inputs": [tensor], "outputs": outputs, "parameters": {"binary_data_output": True}}
    with service.client() as client:
        answer = client.post("/v2/models/cxr/infer", json=body).raise_for_status()
    length = int(answer.headers["Inference-Header-Content-Length"])
    probabilities, decision = json.loads(answer.content[:length])["outputs"]
    assert probabilities["parameters"] == {"binary_data_size": 12}
    assert "data" not in probabilities
    assert np.frombuffer(answer.content[length:], "<f4").sum() == pytest.approx(1)
    assert len(decision["data"]) == 1


def test_metadata_declares_all_tensors(service, phantom_run):
    with service.client() as client:
        metadata = client.get("/v2/models/cxr").json()
        assert client.get("/v2/models/cxr/ready").json() == {"name": "cxr", "ready": True}
        assert client.get("/v2/models").json() == {"models": ["cxr"]}
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["image", "films"]
    assert [tensor["name"] for tensor in metadata["outputs"]] == EVERYTHING


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": []}, "one input"),
        ({"outputs": [{"name": "secrets"}]}, "outputs must be of"),
        ({"outputs": [{"name": "decision"}, {"name": "decision"}]}, "once each; 1 of"),
        ({"outputs": [{"name": "embedding"}] * 100_000}, "at most 32 outputs, asks for 100000"),
        (
            {"inputs": [{"name": "image", "shape": [2**63 - 1] * 100_000, "datatype": "BYTES", "data": [""]}]},
            "rank 100000",
        ),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": [""]}]}, "must be 'image'"),
        ({"inputs": [{"name": "image", "shape": [0], "datatype": "BYTES", "data": []}]}, "at least one"),
        ({"inputs": [{"name": "films", "shape": [1], "datatype": "FP32", "data": [0]}]}, "shape"),
    ],
)
def test_what_breaks_the_protocol_is_a_problem(service, film, change, said):
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(film).decode()]}
    with service.client() as client:
        answer = client.post("/v2/models/cxr/infer", json={"inputs": [tensor], **change})
        assert answer.status_code == 400, answer.text
        assert said in answer.json()["reason"]
        assert client.post("/v2/models/other/infer", json={"inputs": [tensor]}).status_code == 404


def test_a_refused_film_of_a_batch_is_named_by_its_place(service, film):
    body, length = images([film, b"no picture"]).to_rest()
    headers = {"Inference-Header-Content-Length": str(length)}
    with service.client() as client:
        answer = client.post("/v2/models/cxr/infer", content=body, headers=headers)
    assert answer.status_code == 415
    assert answer.json()["code"] == "not_an_image"
    assert answer.json()["reason"].startswith("film 1 (from 0)")


def stub_call(service, method, request, key=None, secure=True):
    async def call():
        credentials = grpc.ssl_channel_credentials(service.ca.read_bytes())
        channel = (
            grpc.aio.secure_channel(service.grpc, credentials) if secure else grpc.aio.insecure_channel(service.grpc)
        )
        async with channel:
            metadata = () if key is None else (("x-api-key", key),)
            return await getattr(GRPCInferenceServiceStub(channel), method)(request, metadata=metadata, timeout=10)

    return asyncio.run(call())


def test_grpc_asks_for_a_key_with_its_scope_and_speaks_only_tls(service):
    assert stub_call(service, "ServerReady", pb.ServerReadyRequest()).ready
    wrong = service.keys["predict"][:-43] + 43 * "A"
    asked, loading = pb.ModelMetadataRequest(name="cxr"), pb.RepositoryModelLoadRequest(model_name="cxr")
    assert len(stub_call(service, "ModelMetadata", asked, service.keys["predict"]).outputs) == len(EVERYTHING)
    for method, request, key, code in (
        ("ModelMetadata", asked, None, grpc.StatusCode.UNAUTHENTICATED),
        ("ModelMetadata", asked, wrong, grpc.StatusCode.UNAUTHENTICATED),
        ("RepositoryModelLoad", loading, service.keys["predict"], grpc.StatusCode.PERMISSION_DENIED),
        ("ModelMetadata", pb.ModelMetadataRequest(name="x"), service.keys["predict"], grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            stub_call(service, method, request, key)
        assert raised.value.code() == code
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        stub_call(service, "ServerReady", pb.ServerReadyRequest(), secure=False)
    assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_a_refusal_over_grpc_has_its_code_and_what_to_do(service):
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"no picture")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        stub_call(
            service, "ModelInfer", pb.ModelInferRequest(model_name="cxr", inputs=[tensor]), service.keys["predict"]
        )
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details().startswith("not_an_image")
    assert dict(raised.value.trailing_metadata())["x-cxr-code"] == "not_an_image"


def test_json_that_is_no_request_is_a_problem(service):
    with service.client() as client:
        for content in (b"", b"{", b"[]", json.dumps({"inputs": 3}).encode(), b"\xff\xfe"):
            assert client.post("/v2/models/cxr/infer", content=content).status_code == 400
