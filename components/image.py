"""The container image that every component runs in, in a cluster."""

import re

from cxr import __version__
from cxr.errors import PipelineError

REGISTRY = "cxr"
"""Of images that `make images` builds, on the machine where they were built."""

_REGISTRY = re.compile(r"[a-z0-9][-a-z0-9._]*(:\d+)?(/[a-z0-9][-a-z0-9._]*)*")
_TAG = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RELEASE = re.compile(r"v?\d+\.\d+\.\d+((a|b|rc)\d+)?(\.post\d+)?")


def image_reference(registry: str = REGISTRY, tag: str = __version__) -> str:
    """Name of the pipeline image: one release of the code, one tag.

    Args:
        registry: host, and folders below it, where the images lie.
        tag: of the image, or its digest, `sha256:…`.

    Raises:
        PipelineError: the two make no name of an image.

    >>> image_reference("registry.hospital.example/ml", "1.2.3")
    'registry.hospital.example/ml/pipeline:1.2.3'
    """
    if not _REGISTRY.fullmatch(registry):
        raise PipelineError(f"--registry must be as in registry.example:5000/ml, without a scheme, is {registry!r}")
    if _DIGEST.fullmatch(tag):
        return f"{registry}/pipeline@{tag}"
    if not _TAG.fullmatch(tag):
        raise PipelineError(f"--tag must be the tag of an image, or its digest sha256:…, is {tag!r}")
    return f"{registry}/pipeline:{tag}"


def check_release(tag: str) -> None:
    """Raise `PipelineError` unless a tag names one image for ever.

    A tag that moves (`latest`, `main`, `1.2`) makes an old run impossible to repeat; one of a version under development
    (`1.2.3.dev4`, `1.2.3-dirty`) names code that no commit holds.
    """
    if not (_RELEASE.fullmatch(tag) or _DIGEST.fullmatch(tag)):
        raise PipelineError(
            f"the tag of a release must be a whole version such as 1.2.3, or a digest sha256:…, is {tag!r}; "
            "build the images of a release and give its --tag"
        )


IMAGE = image_reference()
PULL_POLICIES = ("IfNotPresent", "Always", "Never")
PULL_POLICY = PULL_POLICIES[0]
