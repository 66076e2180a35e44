"""What a bundle asks of a film before it is looked at."""

import dataclasses
import json

import msgspec
import pytest

from cxr.contracts.bundle import Bundle, read_bundle
from cxr.serving.loaded import read_least_side


@pytest.fixture
def bundle(phantom_run, tmp_path) -> Bundle:
    """With nothing in its folder; its network takes films of 96 pixels."""
    found = read_bundle(phantom_run.bundle)
    preprocessing = msgspec.structs.replace(found.manifest.preprocessing, size=96)
    manifest = msgspec.structs.replace(found.manifest, preprocessing=preprocessing)
    return dataclasses.replace(found, folder=tmp_path, manifest=manifest)


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ({}, 96),
        ({"lung_frame": 0}, 96),
        ({"lung_frame": 80}, 80),
        ({"lung_frame": 32}, 64),
        ({"lung_frame": 80, "of a newer version": 1}, 80),
    ],
)
def test_a_film_must_have_the_pixels_that_the_backbone_sees(bundle, model, least):
    (bundle.folder / "reports").mkdir()
    (bundle.folder / "reports" / "recipe.json").write_text(json.dumps({"version": 9, "model": model}))
    assert read_least_side(bundle) == least


def test_without_a_recipe_it_must_have_those_of_the_whole_film(bundle):
    assert read_least_side(bundle) == 96
