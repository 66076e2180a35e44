"""A browser on the service's page, which fails its test on any error, or any request that leaves the service."""

import shutil
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from cxr.imaging.phantom import draw_phantom
from support.films import encoded

pytest.importorskip("playwright")

from playwright.sync_api import Browser, expect, sync_playwright

from support.browsing import Service, Visit

FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system, closed before the next module: other tests cannot run an event loop beside its own."""
    names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(service: Service, browser: Browser) -> Iterator[Visit]:
    """The page, just opened."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
    page = context.new_page()
    visit = Visit(page, service)
    context.on("request", lambda request: visit.requests.append(request))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.goto(service.url)
    expect(page.locator("#health")).to_have_text("Service: ready")
    yield visit
    unexpected = [error for error in visit.errors if not any(known.match(error) for known in visit.expected)]
    foreign = [request.url for request in visit.requests if not request.url.startswith((service.url, "blob:", "data:"))]
    context.close()
    assert unexpected == []
    assert foreign == []


@pytest.fixture
def signed_in(visit: Visit) -> Visit:
    """The page with a key in use."""
    return visit.sign_in()


@pytest.fixture(scope="session")
def phantom_films() -> dict[str, npt.NDArray[np.uint8]]:
    """A drawn film of every finding."""
    return {finding: draw_phantom(seed=7, finding=finding, side=256).film for finding in FINDINGS}


@pytest.fixture(scope="session")
def pngs(phantom_films: dict[str, npt.NDArray[np.uint8]]) -> dict[str, bytes]:
    """The same as PNG."""
    return {finding: encoded(film) for finding, film in phantom_films.items()}
