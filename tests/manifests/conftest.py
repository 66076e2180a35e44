"""Both overlays, rendered once."""

from typing import Any

import pytest

from support import chart
from support.kustomize import MANIFESTS, OVERLAYS, identity, render

Objects = list[dict[str, Any]]


@pytest.fixture(scope="session")
def overlays() -> dict[str, Objects]:
    """Objects by overlay."""
    return {name: render(MANIFESTS / "overlays" / name) for name in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest, overlays: dict[str, Objects]) -> Objects:
    """Objects of one overlay after the other."""
    return overlays[request.param]


@pytest.fixture(scope="session")
def charted() -> set[tuple[str, str, str]]:
    """What the chart makes with any of its options, where docs/deploy.md installs it."""
    found = (chart.render(values, name="cxr", namespace="cxr") for values in chart.VARIANTS.values())
    return {identity(one) for objects in found for one in objects}
