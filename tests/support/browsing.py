"""The service's page in a browser: what tests do on it, and what they see of it."""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from playwright.sync_api import Page, Request, Route, expect

REFUSED_BY_SERVER = re.compile(r"^Failed to load resource: the server responded with a status of \d+")
UNREACHABLE = re.compile(r"^Failed to load resource: net::ERR_FAILED")
"""What Chromium itself writes on the console for answers that a test provokes."""


class Service(Protocol):
    """What the tests need of a running service; `keys` is scope to secret."""

    url: str
    keys: dict[str, str]

    def client(self, scope: str | None = "predict") -> httpx.Client: ...


@dataclass
class Visit:
    """The page in a browser, and what came of it.

    Attributes:
        requests: every request that it made.
        errors: of scripts, of the console, and of the content security policy.
        expected: console errors that the test provokes.
    """

    page: Page
    service: Service
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)
    refusals: re.Pattern[str] = REFUSED_BY_SERVER

    def sign_in(self) -> "Visit":
        """Use a key that may read films."""
        self.page.get_by_label("API key").fill(self.service.keys["predict"])
        self.page.get_by_role("button", name="Use key").click()
        expect(self.page.get_by_role("button", name="Forget key")).to_be_visible()
        return self

    def choose(self, *films: tuple[str, bytes]) -> "Visit":
        """Choose files by name and bytes."""
        files = [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in films]
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose films").click()
        chooser.value.set_files(files)  # type: ignore[arg-type]
        return self

    def verdict(self, words: str | re.Pattern[str]) -> None:
        """The reading's headline is this."""
        expect(self.page.locator("#result .verdict")).to_have_text(words, timeout=20_000)

    def sent(self, path: str) -> list[Request]:
        """Requests for a path of the service."""
        return [request for request in self.requests if request.url.startswith(f"{self.service.url}/{path}")]

    def alter(self, path: str = "predict", **changes: Any) -> None:
        """Let the service's own answers arrive with some values changed: what a test needs to see in any bundle."""

        def changed(route: Route) -> None:
            response = route.fetch()
            route.fulfill(response=response, json={**response.json(), **changes})

        self.page.route(f"**/{path}", changed)
