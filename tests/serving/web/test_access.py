"""Keyboard, screen reader, small and zoomed windows, light and dark."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from support.browsing import Visit

pytestmark = pytest.mark.page

ROLES = "button|checkbox|radio|slider|combobox|textbox|link|meter|region|toolbar|radiogroup|navigation"
NAMELESS = re.compile(rf"^\s*- (?:{ROLES})\b(?! \")", re.M)
LONG_WORD = "sensitivity_at_specificity_95" * 4
LONG_CARD = "\n\n".join(f"{mark}{LONG_WORD}{mark.strip('# -1.')}" for mark in ("# ", "", "- ", "1. ", "`", "|", "**"))
CONTRASTS = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = parts(getComputedStyle(at).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (node.data.trim() === "" || !element.checkVisibility() || element.matches(".skip, option")) continue;
        const [text, ground] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
        const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        found.push([ratio, node.data.trim().slice(0, 40)]);
    }
    return found;
}"""


def test_a_film_can_be_read_without_a_mouse(visit: Visit, pngs: dict[str, bytes]) -> None:
    visit.alter(referred=[], out_of_distribution=False, decision="Normal")
    page = visit.page
    page.on("filechooser", lambda _: None)  # from now on: a key pressed right after asking for it would come too early
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the reading")).to_be_focused()
    tab_to(page, page.get_by_label("API key"))
    page.keyboard.type(visit.service.keys["predict"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Forget key")).to_be_visible()
    expect(page.get_by_role("button", name="Choose films")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "film.png", "mimeType": "image/png", "buffer": pngs["Normal"]}])
    visit.verdict("Normal")
    expect(page.locator("#reading")).to_be_focused()

    tab_to(page, page.get_by_label("Opacity"), "Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#heat")).to_have_css("opacity", "0.55")
    tab_to(page, page.get_by_role("radio", name="Normal"), "Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#heat")).to_have_attribute("alt", re.compile("Pneumonia"))
    tab_to(page, page.get_by_label("Heat map", exact=True), "Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator("#heat")).to_be_hidden()

    chips = page.get_by_role("toolbar", name="Operating points of Normal").get_by_role("button")
    tab_to(page, chips.first)
    page.keyboard.press("ArrowRight")
    expect(chips.nth(1)).to_be_focused()
    expect(page.locator(".detail")).to_contain_text("sensitivity")
    page.keyboard.press("End")
    expect(chips.last).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(chips.first).to_be_focused()
    summary = page.locator("#points > summary")
    tab_to(page, summary)
    page.keyboard.press("Enter")
    expect(page.get_by_role("table").first).to_be_visible()


def test_focus_is_always_seen(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.alter(out_of_distribution=False)
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator("#heat")).to_be_visible()
    unseen = []
    for _ in range(20):
        signed_in.page.keyboard.press("Tab")
        outlined = """() => {
            const at = document.activeElement;
            const ring = at.matches(".segments input") ? at.nextElementSibling : at;
            return [at.outerHTML.slice(0, 80), getComputedStyle(ring).outlineStyle !== "none"];
        }"""
        element, seen = signed_in.page.evaluate(outlined)
        if not seen and not element.startswith("<body"):
            unseen.append(element)
    assert unseen == []


def test_every_control_has_a_name(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    body = signed_in.page.locator("body")
    assert NAMELESS.findall(body.aria_snapshot()) == []
    signed_in.alter(out_of_distribution=False)
    signed_in.choose(("one.png", pngs["Normal"]), ("two.png", pngs["Pneumonia"]))
    expect(signed_in.page.locator("#heat")).to_be_visible()
    for name in ("Operating points", "Model card", "Drift"):
        signed_in.page.get_by_role("link", name=name).click()
    snapshot = body.aria_snapshot()
    assert NAMELESS.findall(snapshot) == []
    for control in (
        'slider "Opacity',
        'radio "Pneumonia"',
        'checkbox "Heat map"',
        'meter "Probability of Normal"',
        'toolbar "Operating points of Tuberculosis"',
        'combobox "Theme"',
        'img "Film one.png"',
    ):
        assert control in snapshot


def test_the_notice_is_on_the_screen_wherever_one_scrolls(signed_in: Visit) -> None:
    notice = signed_in.page.get_by_role("note")
    signed_in.page.get_by_role("link", name="Model card").click()
    signed_in.page.mouse.wheel(0, 5000)
    expect(notice).to_be_in_viewport(ratio=1)
    expect(notice).to_contain_text("Not for diagnosis")


@pytest.mark.parametrize(("width", "height"), [(320, 640), (640, 400)], ids=["narrow", "zoomed to 200%"])
def test_a_small_window_never_scrolls_sideways(visit: Visit, pngs: dict[str, bytes], width: int, height: int) -> None:
    page = visit.page
    page.set_viewport_size({"width": width, "height": height})
    overhang = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    visit.alter("model", card=LONG_CARD)
    visit.alter(referred=["low_confidence"], out_of_distribution=False)
    visit.sign_in()
    visit.choose((f"{LONG_WORD}.png", pngs["Normal"]), ("two.png", pngs["Pneumonia"]))
    expect(page.locator("#heat")).to_be_visible()
    assert page.evaluate(overhang) == 0
    for name in ("Operating points", "Model card", "Drift"):
        page.get_by_role("link", name=name).click()
        assert page.evaluate(overhang) == 0, name


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("referral", [[], ["out_of_distribution"]], ids=["decided", "referred"])
def test_text_stands_out_from_its_ground(
    signed_in: Visit, pngs: dict[str, bytes], theme: str, referral: list[str]
) -> None:
    signed_in.page.get_by_label("Theme").select_option(theme)
    signed_in.alter(referred=referral, out_of_distribution=bool(referral))
    signed_in.choose(("one.png", pngs["Normal"]), ("two.txt", b"no film"))
    signed_in.expected.append(signed_in.refusals)
    expect(signed_in.page.locator("#list")).to_contain_text("Refused")
    signed_in.page.locator("#list button").first.click()
    for name in ("Operating points", "Model card", "Drift"):
        signed_in.page.get_by_role("link", name=name).click()
    too_faint = [found for found in signed_in.page.evaluate(CONTRASTS) if found[0] < 4.5]
    signed_in.page.locator("#list button").last.click()
    signed_in.verdict(re.compile("not a film"))
    too_faint += [found for found in signed_in.page.evaluate(CONTRASTS) if found[0] < 4.5]
    assert too_faint == []


def test_the_room_is_dark_until_light_is_chosen(visit: Visit) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    visit.page.emulate_media(color_scheme="light")
    dark = visit.page.evaluate(paper)
    visit.page.get_by_label("Theme").select_option("system")
    light = visit.page.evaluate(paper)
    visit.page.emulate_media(color_scheme="dark")
    assert visit.page.evaluate(paper) == dark
    visit.page.get_by_label("Theme").select_option("light")
    assert visit.page.evaluate(paper) == light != dark


def test_nothing_moves_for_those_who_ask_for_that(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.page.emulate_media(reduced_motion="reduce")
    signed_in.page.route("**/predict", lambda route: None)
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator(".pulse")).to_be_visible()
    assert signed_in.page.evaluate("document.getAnimations().length") == 0


def tab_to(page: Page, target: Locator, key: str = "Tab", most: int = 40) -> None:
    """Press a key until an element has the focus."""
    for _ in range(most):
        page.keyboard.press(key)
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{key} never comes to {target}")
