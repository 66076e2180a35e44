"""What a new bundle changes of the InferenceService that the chart renders."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from cxr.adapters.inference_service import (
    BEFORE,
    BUNDLE,
    CANDIDATE,
    annotation,
    canary_name,
    canary_names,
    is_canary,
    is_promoted,
    serves,
    storage_uri,
    to_before,
    to_bundle,
    to_canary,
    to_ended,
    to_promoted,
)
from cxr.errors import ClusterError
from support.chart import FULL, MINIMAL, changed, of_kind, render

CRD = Path(__file__).parents[3] / "shared" / "crds" / "inferenceservices.serving.kserve.io.yaml"
NEW = "ab" * 32
S3, CLAIM = "s3://models/new", "pvc://models/new/v2"


def rendered(values):
    (service,) = of_kind(render(values), "InferenceService")
    return service


@pytest.fixture(scope="module")
def charts():
    claimed = changed(MINIMAL, {"bundle": {"uri": "pvc://models/old"}})
    return {"s3": rendered(MINIMAL), "full": rendered(FULL), "claim": rendered(claimed)}


@pytest.fixture(params=["s3", "full", "claim"])
def service(charts, request):
    return copy.deepcopy(charts[request.param])


def test_the_address_is_read_as_the_chart_writes_it(charts):
    assert storage_uri(charts["s3"]) == "s3://models/cxr"
    assert storage_uri(charts["claim"]) == "pvc://models/old"


@pytest.mark.parametrize("uri", [S3, CLAIM])
def test_a_new_bundle_gives_what_the_chart_would_render_for_it(service, uri):
    values = FULL if len(service["spec"]["predictor"]["containers"][0]["env"]) > 25 else MINIMAL
    wanted = rendered(changed(values, {"bundle": {"uri": uri}}))["spec"]["predictor"]
    found = to_bundle(service, digest=NEW, uri=uri)["spec"]["predictor"]
    assert _plain(found) == _plain(wanted)


def test_a_deployment_that_ends_leaves_the_bundle_s_name_only(service):
    ended = to_ended(to_bundle(service, digest=NEW, uri=S3), digest=NEW)
    assert serves(ended, NEW)
    assert (annotation(ended, CANDIDATE), annotation(ended, BEFORE)) == ("", "")
    assert storage_uri(ended) == S3


@pytest.mark.parametrize("uri", [S3, CLAIM])
def test_what_was_before_comes_back_whole(service, uri):
    assert to_before(to_bundle(service, digest=NEW, uri=uri), digest=NEW) == service
    canary = to_canary(service, digest=NEW, uri=uri, percent=5)
    assert to_before(canary, digest=NEW) == service
    assert to_before(to_promoted(canary, digest=NEW), digest=NEW) == service


def test_what_was_before_survives_a_deployment_that_never_ended(service):
    half = to_bundle(service, digest=NEW, uri=S3)
    other = to_bundle(half, digest="cd" * 32, uri=CLAIM)
    assert to_before(other, digest="cd" * 32) == service


def rolled_back(state, service):
    """The state after Helm has put in what the chart renders for another revision."""
    other = copy.deepcopy(state)
    predictor = copy.deepcopy(service["spec"]["predictor"])
    predictor["containers"][0]["image"] = "cxr/predictor:before"
    other["spec"]["predictor"] |= {name: predictor[name] for name in ("containers", "volumes")}
    return other


def test_what_somebody_else_put_in_stays_and_the_canary_goes(service):
    found = rolled_back(to_canary(service, digest=NEW, uri=S3, percent=5), service)
    with pytest.raises(ClusterError, match="has been changed"):
        to_promoted(found, digest=NEW)
    back = to_before(found, digest=NEW)
    assert back["spec"]["predictor"] == found["spec"]["predictor"]
    assert "canary" not in back["spec"]
    assert (annotation(back, CANDIDATE), annotation(back, BEFORE)) == ("", "")


def test_a_deployment_that_noted_no_address_is_taken_back(service):
    half = to_bundle(service, digest=NEW, uri=S3)
    noted = json.loads(annotation(half, BEFORE))
    half["metadata"]["annotations"][BEFORE] = json.dumps({name: noted[name] for name in ("predictor", "canary")})
    assert to_before(half, digest=NEW) == service


def test_a_deployment_after_one_that_never_ended_and_a_rollback_goes_back_to_the_rollback(service):
    found = rolled_back(to_bundle(service, digest=NEW, uri=S3), service)
    other = to_bundle(found, digest="cd" * 32, uri=CLAIM)
    assert to_before(other, digest="cd" * 32)["spec"] == found["spec"]


def test_a_bundle_that_was_rolled_back_may_be_a_canary_again(service):
    served = to_ended(to_bundle(service, digest=NEW, uri=S3), digest=NEW)
    served["spec"] = service["spec"]
    assert not serves(served, NEW)
    canary = to_canary(served, digest=NEW, uri=S3, percent=5)
    assert is_canary(canary, NEW)
    assert annotation(canary, BUNDLE) == "", "what served before is not known any more"


def test_a_canary_has_another_name_than_the_predictor_that_kept_its_name(service):
    promoted = to_ended(to_promoted(to_canary(service, digest=NEW, uri=S3, percent=5), digest=NEW), digest=NEW)
    other = to_ended(to_bundle(promoted, digest="cd" * 32, uri=CLAIM), digest="cd" * 32)
    again = to_canary(other, digest=NEW, uri=S3, percent=5)
    assert canary_name(again) != again["spec"]["predictor"]["name"]
    assert is_canary(again, NEW)
    assert is_promoted(to_promoted(again, digest=NEW), NEW)


def test_a_canary_begins_with_one_pod_and_the_predictor_keeps_its_own_bounds(service):
    canary = to_canary(service, digest=NEW, uri=S3, percent=5)
    assert canary["spec"]["canary"][0]["predictor"]["minReplicas"] == 1
    bounds = {name: service["spec"]["predictor"][name] for name in ("minReplicas", "maxReplicas")}
    promoted = to_promoted(canary, digest=NEW)["spec"]["predictor"]
    assert {name: promoted[name] for name in bounds} == bounds


def test_a_step_that_is_run_again_changes_nothing(service):
    half = to_bundle(service, digest=NEW, uri=S3)
    assert to_bundle(half, digest=NEW, uri=S3) is half
    canary = to_canary(service, digest=NEW, uri=S3, percent=5)
    assert to_canary(canary, digest=NEW, uri=S3, percent=5) is canary
    promoted = to_promoted(canary, digest=NEW)
    assert to_promoted(promoted, digest=NEW) is promoted


def test_a_bundle_that_helm_took_away_is_deployed_anew(service):
    stale = to_ended(to_bundle(service, digest=NEW, uri=S3), digest=NEW)
    stale["spec"] = service["spec"]
    assert storage_uri(to_bundle(stale, digest=NEW, uri="s3://models/newer")) == "s3://models/newer"


def test_a_canary_leaves_the_predictor_alone_until_it_is_promoted(service):
    canary = to_canary(service, digest=NEW, uri=S3, percent=5)
    assert canary["spec"]["predictor"] == service["spec"]["predictor"]
    (one,) = canary["spec"]["canary"]
    assert (one["trafficPercent"], one["predictor"]["name"]) == (5, canary_names(NEW)[0])
    assert is_canary(canary, NEW)
    assert not is_promoted(canary, NEW)
    promoted = to_promoted(canary, digest=NEW)
    assert is_promoted(promoted, NEW)
    assert promoted["spec"]["predictor"]["name"] == canary_names(NEW)[0]
    assert storage_uri(promoted) == S3


def test_another_deployment_s_marks_are_left_alone(service):
    other = to_bundle(service, digest=NEW, uri=S3)
    assert to_before(other, digest="cd" * 32) is other
    assert to_ended(other, digest="cd" * 32) is other
    with pytest.raises(ClusterError, match="must be the canary"):
        to_promoted(other, digest=NEW)


def test_the_bundle_that_serves_is_no_canary(service):
    served = to_ended(to_bundle(service, digest=NEW, uri=S3), digest=NEW)
    assert annotation(served, BUNDLE) == NEW
    with pytest.raises(ClusterError, match="another bundle"):
        to_canary(served, digest=NEW, uri=S3, percent=5)


def test_a_lost_memory_is_said(service):
    half = to_bundle(service, digest=NEW, uri=S3)
    half["metadata"]["annotations"][BEFORE] = "{"
    with pytest.raises(ClusterError, match="must hold what was served before"):
        to_before(half, digest=NEW)


def test_an_inference_service_of_another_kind_is_refused(service):
    service["spec"]["predictor"]["containers"][0]["name"] = "other"
    with pytest.raises(ClusterError, match="charts/cxr"):
        to_bundle(service, digest=NEW, uri=S3)


@pytest.mark.real
@pytest.mark.parametrize("uri", [S3, CLAIM])
def test_every_state_is_valid_by_kserve_s_schema(service, uri):
    if not CRD.is_file():
        pytest.skip("KServe's CRD is not beside the checkout")
    version = yaml.load(CRD.read_text(), yaml.CSafeLoader)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    _close(schema["properties"]["spec"])
    canary = to_canary(service, digest=NEW, uri=uri, percent=5)
    validator = jsonschema.Draft202012Validator(schema)
    for state in (to_bundle(service, digest=NEW, uri=uri), canary, to_promoted(canary, digest=NEW)):
        validator.validate(state)
        assert all(isinstance(text, str) for text in state["metadata"]["annotations"].values())
    canary["spec"]["canary"][0]["trafficPercent"] = 101
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(canary)


def _close(schema):
    if schema.get("type") == "object" and "properties" in schema:
        schema["additionalProperties"] = False
        for inner in schema["properties"].values():
            _close(inner)
    if "items" in schema:
        _close(schema["items"])


def _plain(predictor):
    """Without order in the lists that have keys, and without the chart's limit of a copy."""
    plain = copy.deepcopy(predictor)
    plain["volumes"] = {one["name"]: None if "provision" in one["name"] else one for one in plain["volumes"]}
    for one in plain["containers"]:
        one["env"] = {variable["name"]: variable for variable in one["env"]}
        one["volumeMounts"] = {mount["mountPath"]: mount for mount in one["volumeMounts"]}
    return plain
