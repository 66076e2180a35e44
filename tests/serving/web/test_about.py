"""Model card, operating points and drift: told as they are, and never taken for markup."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browsing import Service, Visit

pytestmark = pytest.mark.page

RENDER = """async (source) => {
    const { rendered } = await import("./static/markdown.js");
    const box = document.createElement("div");
    box.append(rendered(source));
    return box.innerHTML;
}"""


def test_the_model_card_is_rendered_whole(signed_in: Visit) -> None:
    with signed_in.service.client() as client:
        card = client.get("/model").json()["card"]
    signed_in.page.get_by_role("link", name="Model card").click()
    shown = signed_in.page.locator("#card-body")
    headings = [line.lstrip("# ") for line in card.splitlines() if line.startswith("#")]
    assert shown.locator("h3, h4, h5").all_inner_texts() == headings
    tables = sum(line.startswith("| ---") for line in card.splitlines())
    expect(shown.locator("table")).to_have_count(tables)
    text = shown.inner_text()
    assert "**" not in text
    assert "\\_" not in text
    assert "| ---" not in text


def test_all_operating_points_are_in_a_table(signed_in: Visit) -> None:
    with signed_in.service.client() as client:
        points = client.get("/model").json()["operating_points"]
    signed_in.page.get_by_role("link", name="Operating points").click()
    rows = signed_in.page.locator("#points tbody tr")
    expect(rows).to_have_count(len(points))
    expect(rows.first).to_contain_text(points[0]["finding"])
    expect(rows.first).to_contain_text(f"{100 * points[0]['specificity']:.1f}%")


@pytest.fixture(scope="module")
def blank(service: Service, browser: Browser) -> Iterator[Page]:
    """The page, for its functions alone."""
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(service.url)
        yield page


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("# A *b* **c**", "<h3>A <em>b</em> <strong>c</strong></h3>"),
        ("one\ntwo\n\nthree", "<p>one two</p><p>three</p>"),
        ("- a\n- b\n  more\n", "<ul><li>a</li><li>b more</li></ul>"),
        ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        ("`x < **y**`", "<p><code>x &lt; **y**</code></p>"),
        ("```py\na | b\n# c\n```\nd", "<pre><code>a | b\n# c</code></pre><p>d</p>"),
        (r"phantom\_a \* 2 * 3", "<p>phantom_a * 2 * 3</p>"),
        ("a **open", "<p>a **open</p>"),
        ("---", "<hr>"),
    ],
)
def test_markdown_becomes_elements(blank: Page, source: str, html: str) -> None:
    assert blank.evaluate(RENDER, source) == html


def test_markdown_tables_keep_columns_and_alignment(blank: Page) -> None:
    html = blank.evaluate(RENDER, "| A | B |\n| --- | ---: |\n| x \\| y | 1 |\nafter")
    assert '<th scope="col">A</th><th scope="col" class="number">B</th>' in html
    assert '<td>x | y</td><td class="number">1</td>' in html
    assert html.endswith("<p>after</p>")


def test_links_lead_to_the_web_or_nowhere(blank: Page) -> None:
    html = blank.evaluate(
        RENDER, "[a](https://example.org/x) [b](javascript:alert(1)) [c](//evil) [d](data:text/html,x)"
    )
    assert html.count("<a ") == 1
    assert '<a href="https://example.org/x" rel="noopener noreferrer" target="_blank">a</a>' in html


@pytest.mark.parametrize(
    "source",
    [
        "<img src=x onerror=alert(1)>",
        "# <script>alert(1)</script>",
        "| <b>a</b> |\n| --- |\n| <iframe src='//evil'></iframe> |",
        '[x](https://e.org/"onmouseover="alert(1))',
        "`</code><svg onload=alert(1)>`",
        "#\n######\n|\n||\n-\n```\n<style>",
    ],
)
def test_markup_in_a_card_is_only_text(blank: Page, source: str) -> None:
    elements = """async (source) => {
        const { rendered } = await import("./static/markdown.js");
        const box = document.createElement("div");
        box.append(rendered(source));
        return [...box.querySelectorAll("*")].flatMap((one) => [one.localName, ...one.getAttributeNames()]);
    }"""
    harmless = {"p", "h3", "div", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "ul", "li", "a", "class",
                "role", "tabindex", "aria-label", "scope", "href", "rel", "target"}  # fmt: skip
    assert set(blank.evaluate(elements, source)) <= harmless


def test_the_drift_state_is_shown_with_the_whole_report(visit: Visit) -> None:
    report: dict[str, Any] = {"state": "drift", "films": 120, "tests": [{"name": "<b>ks</b>", "p": 0.001}]}
    visit.page.route("**/drift_report", lambda route: route.fulfill(json=report))
    visit.sign_in()
    expect(visit.page.locator("#drift-badge")).to_have_text("Drift: drift")
    visit.page.get_by_role("link", name="Drift").click()
    expect(visit.page.locator("#drift-body")).to_contain_text("120")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("link", name="Download the whole report").click()
    assert json.loads(download.value.path().read_text()) == report


def test_the_service_says_why_there_is_no_drift_report(signed_in: Visit) -> None:
    with signed_in.service.client() as client:
        report = client.get("/drift_report").json()
    expect(signed_in.page.locator("#drift-badge")).to_have_text(f"Drift: {report['state']}")
    signed_in.page.get_by_role("link", name="Drift").click()
    expect(signed_in.page.locator("#drift-body")).to_contain_text(report.get("reason", report["state"]))
