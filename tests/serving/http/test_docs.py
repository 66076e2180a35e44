"""The page of the API."""

import asyncio
import re
import shutil
from html.parser import HTMLParser
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, File, Query, UploadFile
from playwright.sync_api import sync_playwright
from pydantic import BaseModel

from cxr.serving.http.docs import add_docs, page
from cxr.serving.security.middleware import protect


class Answer(BaseModel):
    """Of the route."""

    decision: str
    confidence: float | None = None


def _application() -> FastAPI:
    app = FastAPI(title="cxr", version="9.8.7", description="Films <b>only</b>.", docs_url=None, redoc_url=None)
    add_docs(app)

    @app.post("/predict", tags=["films"], responses={422: {"description": "The film is refused"}})
    async def predict(
        file: Annotated[UploadFile, File()], limit: Annotated[float, Query(description="Of <what>?")] = 1
    ) -> Answer:
        """Classify one film."""
        return Answer(decision=file.filename or "", confidence=limit)

    @app.get("/later")
    async def later() -> list[Answer]:
        return []

    return app


def _get(path):
    async def ask():
        app = protect(_application(), max_bytes=100, timeout=5, tls=False)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client:
            return await client.get(path)

    return asyncio.run(ask())


class _Read(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_every_route_is_told_with_parameters_bodies_and_answers():
    read = _Read(_get("/docs").text)
    assert read.open == []
    text = re.sub(r"\s+", " ", read.text)
    for told in (
        "cxr 9.8.7",
        "POST /predict",
        "Classify one film.",
        "Of <what>?",
        "multipart/form-data",
        "file: ",
        "The film is refused",
        "decision: string, confidence?: number | null",
        "list of Answer",
        "GET /later",
        "curl -H 'X-API-Key: cxr_…' -X POST -F file=@film.dcm https://HOST/predict",
    ):
        assert told in text, told.lower()


def test_it_needs_nothing_from_elsewhere_and_nothing_that_the_policy_forbids():
    read = _Read(_get("/docs").text)
    assert all(link.startswith("/") and not link.startswith("//") for link in read.links)
    assert not {"script", "style", "iframe", "img", "b"} & set(read.tags)
    assert not any(name == "style" or name.startswith("on") for name in read.attributes)


def test_what_it_links_to_is_there():
    style = _get("/docs/style.css")
    assert style.headers["Content-Type"].startswith("text/css")
    assert "url(" not in style.text
    assert "@import" not in style.text
    for link in _Read(_get("/docs").text).links:
        assert _get(link).status_code == 200


def test_text_of_the_document_is_no_markup():
    api = {"info": {"title": "<i>", "version": '"'}, "paths": {"/<u>": {"get": {"tags": ["<s>"], "summary": "<em>"}}}}
    tags = set(_Read(page(api, openapi_url="/openapi.json")).tags)
    assert not {"i", "u", "s", "em"} & tags


@pytest.mark.parametrize("path", ["/docs", "/docs/style.css"])
def test_the_page_itself_is_not_part_of_the_api(path):
    assert path not in _application().openapi()["paths"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_shows_it_under_the_policy():
    html, css, problems = _get("/docs").text, _get("/docs/style.css").text, []
    policy = _get("/docs").headers["Content-Security-Policy"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.route(
            "**/*",
            lambda route: route.fulfill(
                body=css if route.request.url.endswith(".css") else html,
                content_type="text/css" if route.request.url.endswith(".css") else "text/html",
                headers={"Content-Security-Policy": policy},
            ),
        )
        tab.goto("http://host.example/docs")
        assert not tab.get_by_text("Of <what>?").is_visible()
        tab.get_by_text("/predict").first.click()
        assert tab.get_by_text("Of <what>?").is_visible()
        assert tab.locator(".method").first.evaluate("e => getComputedStyle(e).display") == "inline-block"
        browser.close()
    assert problems == []
