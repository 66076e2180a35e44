"""skaffold.yaml against the images, the overlays and the chart that it names."""

import re
from pathlib import Path

import pytest
import yaml

from support.chart import containers, predictor, render
from support.kustomize import OVERLAYS

ROOT = Path(__file__).parents[2]
IMAGES = {"predictor", "drift", "pipeline"}
OVERLAY_OF = {"dev": "kind", "production": "production"}
GIVEN = {
    "CXR_BUNDLE": "s3://cxr-models/cxr",
    "CXR_FILMS": "s3://cxr-films/current",
    "CXR_S3_ENDPOINT": "https://s3.hospital.example",
}


@pytest.fixture(scope="module")
def config():
    """The whole file; its schema's version is one that skaffold has released."""
    found = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    assert found["apiVersion"] == "skaffold/v4beta13"
    assert found.keys() == {"apiVersion", "kind", "metadata", "build", "profiles"}
    return found


@pytest.fixture(params=OVERLAY_OF)
def profile(request, config):
    """One profile after the other."""
    (found,) = (profile for profile in config["profiles"] if profile["name"] == request.param)
    return found


def filled(template):
    """What skaffold puts in the place of its variables, and of those of the environment."""
    built = {f"IMAGE_REPO_cxr_{name}": f"registry.example/cxr/{name}" for name in IMAGES}
    built |= {f"IMAGE_TAG_cxr_{name}": "1.2.3" for name in IMAGES}
    return re.sub(r"\{\{\.(\w+)\}\}", lambda found: (GIVEN | built)[found[1]], template)


def values_of(release):
    (file,) = release["valuesFiles"]
    values = yaml.safe_load((ROOT / file).read_text())
    for name, template in release["setValueTemplates"].items():
        *path, last = name.split(".")
        place = values
        for step in path:
            place = place.setdefault(step, {})
        place[last] = filled(template)
    return values


def test_the_images_are_those_that_are_there(config):
    profiles = [profile["build"]["artifacts"] for profile in config["profiles"] if "artifacts" in profile["build"]]
    for artifacts in (config["build"]["artifacts"], *profiles):
        assert {artifact["image"] for artifact in artifacts} == {f"cxr/{name}" for name in IMAGES}
        for artifact in artifacts:
            assert artifact["docker"]["dockerfile"] == f"images/{artifact['image'].removeprefix('cxr/')}/Dockerfile"
            text = (ROOT / artifact["docker"]["dockerfile"]).read_text()
            assert all(f"ARG {name}" in text for name in artifact["docker"]["buildArgs"])


def test_each_profile_applies_its_overlay_and_nothing_else(profile):
    (path,) = profile["manifests"]["kustomize"]["paths"]
    assert path == f"manifests/overlays/{OVERLAY_OF[profile['name']]}"
    assert Path(path).name in OVERLAYS
    assert profile["deploy"].keys() == {"kubectl", "helm"}


def test_the_chart_renders_with_its_values_and_the_built_images(profile):
    (release,) = profile["deploy"]["helm"]["releases"]
    assert release["chartPath"] == "charts/cxr"
    objects = render(values_of(release))
    images = {found["image"] for found in containers(predictor(objects))}
    assert {"registry.example/cxr/predictor:1.2.3", "registry.example/cxr/drift:1.2.3"} <= images
    kinds = {found["kind"] for found in objects}
    assert ("Deployment" in kinds) is (profile["name"] == "production"), "the retraining trigger"


def test_trails_go_to_the_store_that_the_bundle_is_of(config):
    (production,) = (profile for profile in config["profiles"] if profile["name"] == "production")
    (release,) = production["deploy"]["helm"]["releases"]
    found = {
        entry["name"]: entry.get("value") for entry in predictor(render(values_of(release)))["containers"][0]["env"]
    }
    assert found["AWS_ENDPOINT_URL"] == GIVEN["CXR_S3_ENDPOINT"]


def test_what_is_forwarded_is_a_service(profile):
    (release,) = profile["deploy"]["helm"]["releases"]
    charted = {found["metadata"]["name"] for found in render(values_of(release), name="cxr", namespace="cxr")}
    for forward in profile.get("portForward", []):
        assert forward["namespace"] == "cxr"
        assert forward["resourceName"] in charted | {"mlflow"}


def test_production_is_built_from_a_tag_only(config):
    (production,) = (profile for profile in config["profiles"] if profile["name"] == "production")
    assert production["build"]["tagPolicy"] == {"gitCommit": {"variant": "Tags"}}
    assert production["build"]["local"] == {"push": True}
    for artifact in production["build"]["artifacts"]:
        (hook,) = artifact["hooks"]["before"]
        assert "git diff --quiet HEAD" in hook["command"][-1]
        assert "--exact-match" in hook["command"][-1]
    (dev,) = (profile for profile in config["profiles"] if profile["name"] == "dev")
    assert dev["build"]["local"] == {"push": False}
