"""What is no film, what is no key, and what the service cannot do now."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from support.browsing import UNREACHABLE, Visit
from support.films import chest, encoded

pytestmark = pytest.mark.page


@pytest.fixture(autouse=True)
def refusals_are_meant(visit: Visit) -> None:
    visit.expected.append(visit.refusals)


@pytest.mark.parametrize(
    ("data", "code", "title"),
    [
        (b"Dear colleague, ...", "not_an_image", "This file is not a film that can be read"),
        (encoded(chest(40, 40)), "too_small", "This film was refused"),
        (b"", "empty_file", "This film was refused"),
    ],
    ids=["letter", "thumbnail", "empty"],
)
def test_what_is_no_film_is_refused_with_the_reason(signed_in: Visit, data: bytes, code: str, title: str) -> None:
    with signed_in.service.client() as client:
        told = client.post("/predict", content=data).json()
    signed_in.choose(("file", data))
    signed_in.verdict(title)
    panel = signed_in.page.locator(".problem.refusal")
    expect(panel).to_contain_text(told["reason"][1:])
    expect(panel).to_contain_text(told["what_to_do"])
    expect(panel.locator("code").first).to_have_text(code)
    expect(panel.locator("code").last).to_have_text(re.compile(r"^[\w-]{8,}$"))
    expect(signed_in.page.get_by_role("button", name="Try again")).to_have_count(0)
    expect(signed_in.page.locator("#announcer")).to_contain_text(told["what_to_do"])


def test_a_wrong_key_is_said_where_it_was_typed(visit: Visit) -> None:
    field = visit.page.get_by_label("API key")
    field.fill("cxr_nobody_" + "x" * 43)
    field.press("Enter")
    expect(visit.page.locator("#key-status")).to_contain_text("The API key is not accepted")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()


def test_a_key_that_may_not_read_films_says_which_scope_it_needs(visit: Visit) -> None:
    visit.page.get_by_label("API key").fill(visit.service.keys["audit"])
    visit.page.get_by_role("button", name="Use key").click()
    expect(visit.page.locator("#key-status")).to_contain_text("“predict”")


def test_something_that_cannot_be_a_key_is_not_sent(visit: Visit) -> None:
    visit.page.get_by_label("API key").fill("schlüssel wort")
    visit.page.get_by_role("button", name="Use key").click()
    expect(visit.page.locator("#key-status")).to_contain_text("letters, digits")
    assert visit.sent("model") == []


def test_films_wait_for_a_key_and_are_read_once_there_is_one(visit: Visit, pngs: dict[str, bytes]) -> None:
    visit.choose(("one.png", pngs["Normal"]), ("two.png", pngs["Pneumonia"]))
    visit.verdict("The API key is not accepted")
    expect(visit.page.get_by_label("API key")).to_be_focused()
    assert len(visit.sent("predict")) == 1, "the second film is not tried with the same key"
    visit.sign_in()
    expect(visit.page.locator("#result .findings")).to_be_visible()
    expect(visit.page.locator("#list .outcome").nth(1)).not_to_have_text(re.compile("Waiting|Reading"), timeout=20_000)


def test_a_key_is_kept_for_the_tab_only_where_that_is_chosen(visit: Visit) -> None:
    stores = "[sessionStorage.length, localStorage.length, document.cookie.length]"
    visit.sign_in()
    assert visit.page.evaluate(stores) == [0, 0, 0]
    visit.page.get_by_role("button", name="Forget key").click()
    visit.page.get_by_label("Keep it until this tab is closed").check()
    visit.sign_in()
    assert visit.page.evaluate(stores) == [1, 0, 0]
    visit.page.reload()
    expect(visit.page.get_by_role("button", name="Forget key")).to_be_visible()
    visit.page.get_by_role("button", name="Forget key").click()
    assert visit.page.evaluate(stores) == [0, 0, 0]
    assert visit.page.get_by_label("API key").input_value() == ""


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(signed_in: Visit, pngs: dict[str, bytes], status: int) -> None:
    answer_once(signed_in, status, {"Retry-After": "1"})
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator("#result")).to_contain_text("Trying again in 1 s")
    expect(signed_in.page.locator("#result .findings")).to_be_visible()
    assert len(signed_in.sent("predict")) == 2


@pytest.mark.parametrize(
    ("status", "headers", "title"),
    [
        (500, {}, "The service failed"),
        (504, {}, "The answer took too long"),
        (503, {}, "The service is busy"),
        (429, {}, "Too many requests with this key"),
    ],
)
def test_a_failed_reading_can_be_tried_again(
    signed_in: Visit, pngs: dict[str, bytes], status: int, headers: dict[str, str], title: str
) -> None:
    answer_once(signed_in, status, headers)
    signed_in.choose(("film.png", pngs["Normal"]))
    signed_in.verdict(title)
    signed_in.page.get_by_role("button", name="Try again").click()
    expect(signed_in.page.locator("#result .findings")).to_be_visible()


def test_a_wait_too_long_to_sit_through_is_told(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    answer_once(signed_in, 429, {"Retry-After": "90"})
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator(".problem")).to_contain_text("Try again in 90 s.")
    assert len(signed_in.sent("predict")) == 1


def test_a_film_that_is_too_large_is_said_to_be(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    answer_once(signed_in, 413, {}, body="<html>413 Request Entity Too Large</html>")
    signed_in.choose(("film.png", pngs["Normal"]))
    signed_in.verdict("This film is too large")


def test_without_a_connection_nothing_is_lost(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.expected.append(UNREACHABLE)
    signed_in.page.route("**/predict", lambda route: route.abort(), times=1)
    signed_in.choose(("film.png", pngs["Normal"]))
    signed_in.verdict("The service does not answer")
    signed_in.page.get_by_role("button", name="Try again").click()
    expect(signed_in.page.locator("#result .findings")).to_be_visible()


def answer_once(visit: Visit, status: int, headers: dict[str, str], body: str | None = None) -> None:
    problem = {"request_id": "0123456789abcdef", "code": "c", "reason": "it is so", "what_to_do": "Do that."}
    answer: dict[str, Any] = {"status": status, "headers": headers, "body": body or json.dumps(problem)}

    def once(route: Route) -> None:
        route.fulfill(**answer)

    visit.page.route("**/predict", once, times=1)
