"""The test request of a deployment, to the predictor itself."""

import io
import time

import pytest
from PIL import Image

from cxr.adapters.predictor_api import Predictor, check_predictor
from cxr.contracts.bundle import read_bundle
from cxr.errors import ClusterError
from cxr.steps.deploy import drawn_film


@pytest.fixture
def predictor(service):
    return Predictor(url=service.url, model="cxr", key=service.keys["predict"], authority=service.ca.read_text())


@pytest.fixture
def digest(phantom_run):
    return read_bundle(phantom_run.bundle).digest


def test_the_bundle_answers(predictor, digest):
    check_predictor(predictor, drawn_film(), bundle=digest, deadline=time.monotonic())


def test_a_picture_that_the_bundle_refuses_counts_as_answered(predictor, digest):
    empty = io.BytesIO()
    Image.new("L", (256, 256), 128).save(empty, "PNG")
    check_predictor(predictor, empty.getvalue(), bundle=digest, deadline=time.monotonic())
    with pytest.raises(ClusterError, match="is of bundle"):
        check_predictor(predictor, empty.getvalue(), bundle="f" * 64, deadline=time.monotonic())


def test_another_bundle_is_noticed(predictor):
    with pytest.raises(ClusterError, match="must answer with bundle ffff"):
        check_predictor(predictor, drawn_film(), bundle="f" * 64, deadline=time.monotonic())


def test_a_wrong_key_is_said_and_not_shown(predictor, digest):
    wrong = Predictor(url=predictor.url, model="cxr", key="wrong-secret", authority=predictor.authority)
    with pytest.raises(ClusterError, match="is 401") as raised:
        check_predictor(wrong, drawn_film(), bundle=digest, deadline=time.monotonic())
    assert "wrong-secret" not in f"{raised.value} {wrong}"


def test_a_certificate_of_nobody_known_is_no_answer(predictor, digest):
    unknown = Predictor(url=predictor.url, model="cxr", key=predictor.key)
    with pytest.raises(ClusterError, match=r"CERTIFICATE_VERIFY_FAILED.*CXR_CA_CERTIFICATE"):
        check_predictor(unknown, drawn_film(), bundle=digest, deadline=time.monotonic() + 600)
