"""A film is dropped or chosen, and its reading appears."""

import re

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Request, Route, expect

from support.browsing import Visit
from support.films import dicom, encoded

pytestmark = pytest.mark.page

Film = npt.NDArray[np.uint8]
DROP = """([name, bytes]) => {
    const dropped = new DataTransfer();
    dropped.items.add(new File([new Uint8Array(bytes)], name));
    const init = { dataTransfer: dropped, bubbles: true, cancelable: true };
    for (const kind of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, init));
}"""


def test_a_film_is_read_as_the_service_reads_it(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    with signed_in.service.client() as client:
        told = client.post("/predict", content=pngs["Pneumonia"]).json()
    signed_in.choose(("film.png", pngs["Pneumonia"]))
    signed_in.verdict("Refer to a radiologist" if told["referred"] else told["decision"])
    rows = signed_in.page.locator(".finding")
    shown = {
        row.locator(".name").inner_text(): float(row.locator("data").get_attribute("value") or "nan")
        for row in rows.all()
    }
    assert shown == pytest.approx(told["probabilities"], abs=1e-9)
    assert sum(shown.values()) == pytest.approx(1)
    assert signed_in.page.locator("#result").inner_text().count(told["decision"]) >= 1


def test_a_decision_is_shown_with_its_confidence(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.alter(referred=[], out_of_distribution=False, decision="Tuberculosis", confidence=0.9731)
    signed_in.choose(("film.png", pngs["Tuberculosis"]))
    signed_in.verdict("Tuberculosis")
    expect(signed_in.page.locator("#result")).to_contain_text("97.3% calibrated confidence")
    expect(signed_in.page.locator("#announcer")).to_contain_text("Tuberculosis, confidence 97.3%")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (["Normal", "Tuberculosis"], "Prediction set: Normal or Tuberculosis. The model does not know."),
        (["Pneumonia"], "Prediction set: Pneumonia. Of the patients"),
        ([], "Prediction set: empty. The model does not know."),
    ],
)
def test_the_prediction_set_is_told_with_what_it_promises(
    signed_in: Visit, pngs: dict[str, bytes], held: list[str], said: str
) -> None:
    with signed_in.service.client() as client:
        error = client.get("/model").json()["prediction_sets"]["error"]
    signed_in.alter(referred=[], out_of_distribution=False, prediction_set=held)
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator(".possible")).to_contain_text(said)
    expect(signed_in.page.locator(".possible")).to_contain_text(f"{100 * (1 - error):.1f}%")
    if len(held) > 1:
        expect(signed_in.page.locator("#announcer")).to_contain_text("It may be Normal or Tuberculosis.")


def test_a_film_without_a_prediction_set_tells_none(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.alter(referred=[], out_of_distribution=False, prediction_set=None)
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator("#result")).to_contain_text("calibrated confidence")
    expect(signed_in.page.locator(".possible")).to_have_count(0)


def test_every_operating_point_is_marked_with_its_verdict(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    with signed_in.service.client() as client:
        told = client.post("/predict", content=pngs["Normal"]).json()["operating_points"]
        model = client.get("/model").json()
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator(".chip")).to_have_count(len(told))
    expect(signed_in.page.locator(".tick")).to_have_count(len(told))
    expect(signed_in.page.locator(".chip.positive")).to_have_count(sum(told.values()))
    point = model["operating_points"][0]
    chips = signed_in.page.get_by_role("toolbar", name=f"Operating points of {point['finding']}")
    chips.get_by_role("button").first.hover()
    expect(signed_in.page.locator(".detail")).to_contain_text(f"{100 * point['sensitivity']:.1f}%")
    expect(signed_in.page.locator(".tick.told")).to_have_count(1)


def test_an_unsure_film_is_referred_before_anything_is_decided(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.alter(referred=["low_confidence"], out_of_distribution=False, decision="Pneumonia", confidence=0.512)
    signed_in.choose(("film.png", pngs["Pneumonia"]))
    signed_in.verdict("Refer to a radiologist")
    expect(signed_in.page.locator(".referral")).to_contain_text("too unsure")
    expect(signed_in.page.locator(".set-aside")).to_have_text("Most probable, but not decided: Pneumonia, 51.2%.")
    expect(signed_in.page.locator(".decision")).to_have_count(0)
    sizes = "element => parseFloat(getComputedStyle(element).fontSize)"
    notice = signed_in.page.locator(".referral .verdict").evaluate(sizes)
    assert notice > 1.5 * signed_in.page.locator(".set-aside").evaluate(sizes)


def test_the_figures_of_a_strange_film_are_called_meaningless(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.alter(referred=["low_confidence", "out_of_distribution"], out_of_distribution=True, distance=1234.5)
    signed_in.choose(("film.png", pngs["Normal"]))
    signed_in.verdict("Refer to a radiologist")
    reasons = signed_in.page.locator(".referral p").all_inner_texts()
    assert "unlike those that the model was trained on" in reasons[0]
    assert "1234.5" in reasons[0]
    assert "too unsure" in reasons[1]
    expect(signed_in.page.locator(".figures.void")).to_contain_text("Without meaning for this film")
    expect(signed_in.page.get_by_label("Heat map", exact=True)).not_to_be_checked()
    assert signed_in.sent("explain") == []


def test_the_heat_map_follows_slider_selector_and_switch(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    signed_in.alter(referred=[], out_of_distribution=False, decision="Normal")
    signed_in.choose(("film.png", pngs["Normal"]))
    page, heat = signed_in.page, signed_in.page.locator("#heat")
    expect(heat).to_be_visible()
    assert heat.evaluate("heat => [heat.naturalWidth, heat.naturalHeight]") == [256, 256]
    expect(heat).to_have_css("opacity", "0.5")
    page.get_by_label("Opacity").fill("20")
    expect(heat).to_have_css("opacity", "0.2")
    expect(page.locator("#opacity-value")).to_have_text("20%")
    before = heat.get_attribute("src")
    page.get_by_role("radio", name="Tuberculosis").check(force=True)
    expect(heat).to_have_attribute("alt", re.compile("Tuberculosis"))
    expect(heat).to_be_visible()
    assert heat.get_attribute("src") != before
    page.get_by_role("radio", name="Normal").check(force=True)
    expect(heat).to_have_attribute("src", str(before))
    assert len(signed_in.sent("explain")) == 2, "a heat map is asked for once"
    page.get_by_label("Heat map", exact=True).uncheck()
    expect(heat).to_be_hidden()


def test_a_heat_map_that_is_no_longer_wanted_is_never_shown(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    held: list[Route] = []
    ended: list[Request] = []
    signed_in.page.on("requestfailed", lambda request: ended.append(request))
    signed_in.page.route("**/explain?finding=Normal*", lambda route: held.append(route))
    signed_in.alter(out_of_distribution=False, decision="Normal")
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(signed_in.page.locator("#plate-note")).to_have_text("Loading the heat map…")
    signed_in.page.get_by_role("radio", name="Pneumonia").check(force=True)
    expect(signed_in.page.locator("#heat")).to_have_attribute("alt", re.compile("Pneumonia"))
    assert [request.url.split("?")[1][:14] for request in ended] == ["finding=Normal"]


def test_a_picture_is_shown_from_the_disk_and_a_dicom_from_the_service(
    signed_in: Visit, pngs: dict[str, bytes], phantom_films: dict[str, Film]
) -> None:
    film = signed_in.page.locator("#film")
    signed_in.choose(("film.png", pngs["Normal"]))
    expect(film).to_be_visible()
    expect(signed_in.page.locator("#heat-tools")).to_be_visible()
    assert signed_in.sent("preview") == []
    signed_in.choose(("film", dicom(phantom_films["Normal"])))
    expect(film).to_have_attribute("alt", "Film film")
    expect(film).to_be_visible()
    assert len(signed_in.sent("preview")) == 1
    assert film.evaluate("film => film.decode().then(() => film.naturalWidth)") > 0


def test_names_stay_in_the_browser(signed_in: Visit, phantom_films: dict[str, Film]) -> None:
    data = dicom(phantom_films["Pneumonia"])
    signed_in.choose(("CANARY^JANE.dcm", data))
    expect(signed_in.page.locator("#heat-tools")).to_be_visible()
    for request in signed_in.requests:
        assert "CANARY" not in request.url + str(request.all_headers())
    (sent,) = signed_in.sent("predict")
    headers = sent.all_headers()
    assert headers["content-type"] == "application/dicom"
    assert headers["content-length"] == str(len(data)), "the film's bytes and nothing around them"


def test_several_films_are_listed_and_one_refused_stops_no_other(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    names = ["first.png", "letter.txt", "third.png"]
    signed_in.choose((names[0], pngs["Normal"]), (names[1], b"Dear colleague"), (names[2], pngs["Tuberculosis"]))
    films = signed_in.page.get_by_role("region", name="Films").get_by_role("button")
    expect(films).to_have_count(3)
    expect(films.nth(1)).to_contain_text("Refused")
    expect(films.nth(2)).not_to_contain_text(re.compile("Waiting|Reading"), timeout=20_000)
    assert [films.nth(place).locator(".name").inner_text() for place in range(3)] == names
    expect(films.nth(0)).to_have_attribute("aria-current", "true")
    films.nth(1).click()
    signed_in.verdict(re.compile("not a film"))
    expect(films.nth(1)).to_be_focused()
    expect(signed_in.page.locator("#film")).to_be_hidden()
    signed_in.expected.append(signed_in.refusals)


def test_a_dropped_film_ends_the_request_for_the_one_before(signed_in: Visit, pngs: dict[str, bytes]) -> None:
    held: list[Route] = []
    ended: list[Request] = []
    signed_in.page.on("requestfailed", lambda request: ended.append(request))
    signed_in.page.route("**/predict", lambda route: held.append(route), times=1)
    signed_in.page.evaluate(DROP, ["slow.png", list(pngs["Normal"])])
    expect(signed_in.page.locator("#result")).to_contain_text("Reading the film")
    signed_in.page.evaluate(DROP, ["next.png", list(pngs["Pneumonia"])])
    expect(signed_in.page.locator("#film")).to_have_attribute("alt", "Film next.png")
    expect(signed_in.page.locator("#result .findings")).to_be_visible()
    assert [request.url for request in ended] == [f"{signed_in.service.url}/predict"]


def test_a_large_film_keeps_its_aspect_under_the_heat_map(signed_in: Visit, phantom_films: dict[str, Film]) -> None:
    signed_in.alter(out_of_distribution=False)
    signed_in.choose(("wide.png", encoded(np.repeat(phantom_films["Normal"], 2, axis=1))))
    expect(signed_in.page.locator("#heat")).to_be_visible()
    measures = "one => [one.naturalWidth / one.naturalHeight, one.clientWidth, one.clientHeight]"
    sizes = [signed_in.page.locator(name).evaluate(measures) for name in ("#film", "#heat")]
    assert sizes[0] == pytest.approx(sizes[1])
