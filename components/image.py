"""The container image that every component runs in, in a cluster."""

from cxr import __version__


def image_reference(repository: str = "cxr/pipeline", tag: str = __version__) -> str:
    """Name of the pipeline image: one release of the code, one tag.

    >>> image_reference("registry.hospital.example/ml/cxr-pipeline", "1.2.3")
    'registry.hospital.example/ml/cxr-pipeline:1.2.3'
    """
    return f"{repository}:{tag}"


IMAGE = image_reference()
