"""Every variant of the chart, rendered once."""

from typing import Any

import pytest

from support.chart import VARIANTS, render

Objects = list[dict[str, Any]]


@pytest.fixture(scope="session")
def rendered() -> dict[str, Objects]:
    """Objects by variant."""
    return {name: render(values) for name, values in VARIANTS.items()}


@pytest.fixture(params=VARIANTS)
def objects(request: pytest.FixtureRequest, rendered: dict[str, Objects]) -> Objects:
    """Objects of one variant after the other."""
    return rendered[request.param]
