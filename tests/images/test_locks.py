import re
import tomllib
from pathlib import Path

import pytest

from support.locks import pins

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"^[A-Za-z0-9._-]+", re.MULTILINE)


def names(text: str) -> set[str]:
    return {name.lower().replace("_", "-") for name in NAME.findall(text) if not name.startswith("-")}


@pytest.mark.parametrize(
    "name",
    ["torch", "torchvision", "mlflow", "mlflow-skinny", "kfp", "optuna", "scikit-learn", "pyarrow", "captum", "pytest"],
)
def test_the_predictor_has_no(name):
    assert name not in pins("images/predictor/requirements.lock")


@pytest.mark.parametrize("name", ["predictor", "pipeline"])
def test_it_has_the_versions_that_are_tested(name):
    tested, image = pins("requirements.lock"), pins(f"images/{name}/requirements.lock")
    assert len(image) > 50
    assert {name: (version, tested.get(name)) for name, version in image.items() if tested.get(name) != version} == {}


def test_the_predictors_lock_holds_everything_that_it_asks_for():
    asked = names((ROOT / "images/predictor/requirements.in").read_text())
    assert asked - pins("images/predictor/requirements.lock").keys() == set()


def test_the_predictor_has_every_package_of_the_extra():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serving"]
    assert names("\n".join(extra)) - names((ROOT / "images/predictor/requirements.in").read_text()) == set()


def test_the_pipeline_image_takes_the_steps_packages_and_no_tools():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = names("\n".join([*project["dependencies"], *project["optional-dependencies"]["pipeline"]]))
    image = pins("images/pipeline/requirements.lock")
    assert wanted - image.keys() == set()
    assert image.keys() & {"pytest", "mypy", "ruff", "playwright", "kserve", "triton"} == set()


@pytest.mark.parametrize("path", ["requirements.lock", "images/pipeline/requirements.lock"])
def test_what_builds_the_source_is_in_the_lock(path):
    """The images build it without isolation, so that nothing comes unpinned."""
    assert "setuptools" in pins(path)
