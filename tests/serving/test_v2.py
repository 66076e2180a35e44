import base64
import json
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from cxr.serving.problems import Problem
from cxr.serving.v2 import byte_elements, float_array, read_request

CANARY = "DOE^JOHN^19700101"
FILMS = st.lists(st.binary(max_size=300), min_size=1, max_size=5)


def in_json(elements, **tensor):
    data = [base64.b64encode(element).decode() for element in elements]
    tensor = {"name": "image", "shape": [len(elements)], "datatype": "BYTES", "data": data, **tensor}
    return json.dumps({"inputs": [tensor]}).encode()


def in_binary(elements, name="image"):
    tensor = InferInput(name, [len(elements)], "BYTES")
    tensor.set_data_from_numpy(np.array(elements, dtype=object), binary_data=True)
    return InferRequest("cxr", [tensor]).to_rest()


def read(body, length=None):
    return read_request(body, model_name="cxr", header_length=None if length is None else str(length))


@given(FILMS)
def test_films_in_json_come_back_as_they_were(elements):
    (tensor,) = read(in_json(elements)).inputs
    assert byte_elements(tensor, most=5) == elements


@given(FILMS)
def test_kserves_own_client_writes_binary_films_that_come_back_as_they_were(elements):
    (tensor,) = read(*in_binary(elements)).inputs
    assert byte_elements(tensor, most=5) == elements


@given(FILMS)
def test_raw_and_listed_elements_of_grpc_come_back_as_they_were(elements):
    raw = InferInput("image", [len(elements)], "BYTES")
    raw.set_data_from_numpy(np.array(elements, dtype=object), binary_data=True)
    listed = InferInput("image", [len(elements)], "BYTES", data=list(elements))
    for tensor in (raw, listed):
        grpc = InferRequest.from_grpc(InferRequest("cxr", [tensor]).to_grpc())
        assert byte_elements(grpc.inputs[0], most=5) == elements


@given(st.binary(max_size=400), st.none() | st.integers(-1, 500).map(str) | st.text(max_size=8))
def test_any_bytes_are_a_request_or_a_problem(body, length):
    with suppress(Problem):
        read_request(body, model_name="cxr", header_length=length)


@given(FILMS, st.data())
def test_a_damaged_request_is_a_request_or_a_problem(elements, data):
    body, length = in_binary(elements)
    place = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:place] + data.draw(st.binary(max_size=4)) + body[place + 1 :]
    with suppress(Problem):
        for tensor in read(damaged, length).inputs:
            if tensor.datatype == "BYTES":
                byte_elements(tensor, most=5)


def test_floats_come_in_json_flat_or_nested_and_in_binary():
    films = np.linspace(0, 1, 2 * 4 * 4, dtype=np.float32).reshape(2, 1, 4, 4)
    for data in (films.tolist(), films.ravel().tolist()):
        tensor = {"name": "films", "shape": [2, 1, 4, 4], "datatype": "FP32", "data": data}
        (sent,) = read(json.dumps({"inputs": [tensor]}).encode()).inputs
        np.testing.assert_array_equal(float_array(sent, shape=(1, 4, 4), most=8), films)
    binary = InferInput("films", [2, 1, 4, 4], "FP32")
    binary.set_data_from_numpy(films, binary_data=True)
    (sent,) = read(*InferRequest("cxr", [binary]).to_rest()).inputs
    np.testing.assert_array_equal(float_array(sent, shape=(1, 4, 4), most=8), films)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([1, 1, 4, 4], [0.5] * 15),
        ([1, 1, 4, 4], ["a"] * 16),
        ([1, 1, 4, 4], [[0.5] * 15, [1]]),
        ([0, 1, 4, 4], []),
        ([9, 1, 4, 4], [0.5] * 144),
        ([1, 4, 4], [0.5] * 16),
        ([1, 1, 4, 4], [1e39] * 16),
        ([1, 1, 4, 4], [None] * 16),
    ],
)
def test_floats_that_do_not_fit_are_a_problem(shape, data):
    tensor = {"name": "films", "shape": shape, "datatype": "FP32", "data": data}
    (sent,) = read(json.dumps({"inputs": [tensor]}).encode()).inputs
    with pytest.raises(Problem) as raised:
        float_array(sent, shape=(1, 4, 4), most=8)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (in_json([b"a"], shape=[2]), "as many elements as its shape says"),
        (in_json([b"a"] * 6), "at most 5"),
        (in_json([b"a"], shape=[6]), "at most 5"),
        (in_json([b"a"], shape=[]), "shape of rank 1, has rank 0"),
        (in_json([b"a"], shape=[1, 1]), "shape of rank 1, has rank 2"),
        (in_json([b"a"], data=["%%%"]), "base64"),
        (in_json([b"a"], data=["YQ"]), "base64"),
    ],
)
def test_what_is_wrong_with_films_is_said(body, said):
    (tensor,) = read(body).inputs
    with pytest.raises(Problem, match=said):
        byte_elements(tensor, most=5)


@pytest.mark.parametrize("shape", [[2**63 - 1] * 100_000, [0, *[2**63 - 1] * 100_000], [-1] * 100_000])
def test_the_rank_of_a_grpc_shape_is_looked_at_before_any_length(shape):
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=shape)
    tensor.contents.bytes_contents.append(b"a")
    sent = InferRequest.from_grpc(pb.ModelInferRequest(model_name="cxr", inputs=[tensor]))
    with pytest.raises(Problem, match=f"rank 1, has rank {len(shape)}"):
        byte_elements(sent.inputs[0], most=5)


@pytest.mark.parametrize("length", [-1, 6, 2**63 - 1])
def test_a_length_of_a_grpc_shape_is_from_none_to_the_most(length):
    tensor = InferInput("image", [length], "BYTES", data=[b"a"])
    with pytest.raises(Problem, match="at most 5"):
        byte_elements(tensor, most=5)


@pytest.mark.parametrize(
    ("body", "length", "said"),
    [
        (b"", None, "JSON"),
        (b"[]", None, "object"),
        (b"{}", None, "inputs"),
        (b'{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES"}]}', None, "must have data"),
        (in_json([b"a"]) + b"rest", len(in_json([b"a"])), "4 bytes are left"),
        (in_json([b"a"]), 10**6, "Inference-Header-Content-Length"),
        (in_json([b"a"], data="YQ=="), None, "list"),
        (in_json([b"a"], parameters={"binary_data_size": 99}), None, "binary_data_size"),
        (in_json([b"a"], parameters={"binary_data_size": True}), None, "binary_data_size"),
        (json.dumps({"inputs": [{"name": "a", "shape": [], "datatype": "BYTES", "data": []}] * 9}).encode(), None, "8"),
        (b'{"inputs": ' + b"[" * 100_000, None, "JSON"),
        (in_json([b"a"], shape=[2**63 - 1] * 100_000), None, "input 0 must have .* 8 at most, has rank 100000"),
        (
            json.dumps(json.loads(in_json([b"a"])) | {"outputs": [{"name": "a"}] * 33}).encode(),
            None,
            "at most 32 outputs",
        ),
        (in_json([b"a"], shape=[-1]), None, "`int` >= 0"),
        (in_json([b"a"], shape=[2**63]), None, "`int` <= 9223372036854775807"),
        (in_json([b"a"], shape=[10**400]), None, "`int` <= 9223372036854775807"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(body, length, said):
    with pytest.raises(Problem, match=said):
        read(body, length)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [CANARY]},
        {"shape": [2**64]},
        {"parameters": {"binary_data_size": 2**64}},
        {"data": CANARY},
        {"data": [2**64]},
    ],
)
def test_a_request_that_cannot_be_read_is_not_quoted(change):
    with pytest.raises(Problem) as raised:
        read(in_json([b"a"], name=CANARY, **change))
    assert CANARY not in str(raised.value)
    assert str(2**64) not in str(raised.value)


@pytest.mark.parametrize("shape", [[19700101], [1, 19700101], [19700101, 1, 4, 4]])
@pytest.mark.parametrize("read_films", [byte_elements, partial(float_array, shape=(1, 4, 4))])
def test_a_shape_that_does_not_fit_is_not_quoted(shape, read_films):
    (tensor,) = read(in_json([b"a"], shape=shape)).inputs
    with pytest.raises(Problem) as raised:
        read_films(tensor, most=5)
    assert "19700101" not in str(raised.value)


def test_an_input_that_cannot_be_read_is_named_by_its_place():
    good = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["YQ=="]}
    with pytest.raises(Problem, match="input 1 must have data"):
        read(json.dumps({"inputs": [good, {"name": CANARY, "shape": [1], "datatype": "BYTES"}]}).encode())


@pytest.mark.parametrize(
    ("parameters", "binary"),
    [
        ({}, [False, True, False]),
        ({"binary_data_output": False}, [False, True, False]),
        ({"binary_data_output": True}, [True, True, False]),
    ],
)
def test_an_output_that_does_not_say_otherwise_comes_as_the_request_says(parameters, binary):
    outputs = [{"name": "a"}, *({"name": name, "parameters": {"binary_data": name == "b"}} for name in "bc")]
    body = json.loads(in_json([b"a"])) | {"parameters": parameters, "outputs": outputs}
    assert [bool(output.binary_data) for output in read(json.dumps(body).encode()).request_outputs] == binary
