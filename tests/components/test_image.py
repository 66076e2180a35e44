"""Names of the image: what a release may be called, and what is no name."""

import pytest

from components.image import IMAGE, check_release, image_reference
from cxr import __version__
from cxr.errors import PipelineError

DIGEST = "sha256:" + "0a" * 32


def test_the_default_is_what_is_built_here() -> None:
    assert f"cxr/pipeline:{__version__}" == IMAGE


@pytest.mark.parametrize(
    ("registry", "tag", "reference"),
    [
        ("registry.example:5000/ml", "1.2.3", "registry.example:5000/ml/pipeline:1.2.3"),
        ("localhost:5000", "main", "localhost:5000/pipeline:main"),
        ("ghcr.io/a/b", DIGEST, f"ghcr.io/a/b/pipeline@{DIGEST}"),
    ],
)
def test_registry_and_tag_make_a_name(registry: str, tag: str, reference: str) -> None:
    assert image_reference(registry, tag) == reference


@pytest.mark.parametrize("registry", ["", "https://ghcr.io/a", "ghcr.io/", "/a", "UPPER/a", "a b", "a//b"])
def test_what_is_no_registry_is_refused(registry: str) -> None:
    with pytest.raises(PipelineError, match="--registry must be as in"):
        image_reference(registry)


@pytest.mark.parametrize("tag", ["", "-a", "a/b", "a:b", "sha256:12", "1.2.3+local", "1\n"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(PipelineError, match="--tag must be the tag of an image"):
        image_reference("a", tag)


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.3", "1.2.3rc1", "1.2.3.post1", DIGEST])
def test_a_release_names_one_image_for_ever(tag: str) -> None:
    check_release(tag)


@pytest.mark.parametrize("tag", ["latest", "1.2", "v1", "main", "stable", "1.2.3.dev1", "1.2.3-dirty", "1.2.3+g1", ""])
def test_what_moves_or_was_never_committed_is_no_release(tag: str) -> None:
    with pytest.raises(PipelineError, match="must be a whole version such as"):
        check_release(tag)
