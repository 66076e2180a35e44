import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cxr.contracts.metrics import Estimate
from cxr.reporting.html import render_html
from cxr.reporting.tables import MINUS
from support.pages import Page, external_addresses, plain
from support.synthetic_run import SyntheticRun, compose

STYLE = Path(__file__).parents[2] / "src" / "cxr" / "reporting" / "templates" / "style.css"


@pytest.fixture(scope="module")
def html(written_run: Path) -> str:
    return render_html(compose(written_run))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def leaves(value: object) -> set[float]:
    if isinstance(value, dict):
        return set().union(*(leaves(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(leaves(item) for item in value))
    return {float(value)} if isinstance(value, int | float) else set()


def test_the_page_is_self_contained(html: str, page: Page):
    assert html.startswith("<!DOCTYPE html>")
    assert external_addresses(html) == []
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.attributes}


def test_every_fraction_on_the_page_is_in_a_json_file_of_the_run(page: Page, written_run: Path):
    known = set().union(*(leaves(json.loads(path.read_text())) for path in written_run.rglob("*.json")))
    fractions = {number for number in page.numbers if not number.is_integer()}
    assert len(fractions) > 500
    assert fractions <= known


def test_every_number_reads_as_its_value_rounded(page: Page):
    assert page.shown
    for value, text in page.shown:
        digits = text.replace(MINUS, "-").replace(",", "").rstrip("%")
        step = 10.0 ** -len(digits.partition(".")[2])
        if len(digits.lstrip("-0.").replace(".", "")) >= 4 or "e" in digits:
            step = abs(value) * 1e-3  # four significant digits
        assert any(abs(float(digits) - scale * value) <= 0.5001 * step for scale in (1, 100)), (value, text)


def test_cells_hold_the_estimates_of_the_reports(page: Page, run: SyntheticRun):
    def triple(estimate: Estimate) -> list[float | None]:
        return [estimate.value, estimate.low, estimate.high]

    tables = page.tables
    assert tables["overall"].cell("Macro AUROC", "Value (95% CI)") == triple(run.metrics.overall["macro_auroc"])
    assert tables["per-class"].cell("F1", "Tuberculosis") == triple(run.metrics.per_class["Tuberculosis"]["f1"])
    point = run.metrics.operating_points["Tuberculosis/sensitivity_at_least/0.9"]
    assert tables["operating-points"].cell("Tuberculosis, sensitivity ≥ 90%", "PPV, test") == triple(point["ppv"])
    group = next(group for group in run.metrics.subgroups if group.value == "M")
    assert tables["subgroups"].cell("Sex: M", "Accuracy") == triple(group.metrics["accuracy"])
    assert tables["subgroups"].cell("Sex: M", "Patients") == [group.patients]
    result = next(r for r in run.robustness.results if (r.corruption, r.severity) == ("gamma", 4))
    assert tables["robustness-accuracy-drop"].cell("Gamma", "Severity 4") == triple(result.accuracy_drop)
    severe = run.robustness.presets["severe"]["macro_auroc"]
    assert tables["robustness-presets"].cell("Preset severe", "Macro AUROC") == triple(severe)
    pneumonia = run.localisation.per_class["Pneumonia"]["energy_inside"]
    assert tables["localisation"].cell("Pneumonia", "Activation inside the lesion") == triple(pneumonia)


def test_counts_are_those_of_the_index_and_of_the_confusion_matrix(page: Page, run: SyntheticRun):
    mine = run.films[(run.films["label"] == "Pneumonia") & (run.films["split"] == "test")]
    assert page.tables["films-by-split"].cell("Pneumonia", "Test") == [len(mine)]
    assert page.tables["films-by-source"].cell("guangzhou", "Pneumonia") == [90]
    assert page.tables["confusion"].cell("Pneumonia", "Normal") == [run.metrics.confusion[1][0]]
    assert page.tables["rejected"].cell("too small", "Files") == [run.ingest.rejected["too_small"]]


def test_an_undefined_cell_leads_to_its_reason(page: Page, run: SyntheticRun):
    row = next(row for row in page.tables["subgroups"].rows if row[0] == "Source: belarus")
    assert row[page.tables["subgroups"].columns.index("Macro AUROC")] == "—a"
    assert "table-subgroups-a" in page.ids
    assert "a only one class among these films" in page.text


def test_links_and_labels_lead_to_an_element(page: Page):
    assert len(page.ids) == len(set(page.ids))
    for _, attributes in page.attributes:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in page.ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in page.ids


def test_pictures_have_words_and_headers_have_scopes(page: Page):
    images = [attributes for tag, attributes in page.attributes if tag == "img"]
    assert len(images) > 12
    assert all(len(attributes["alt"]) > 20 for attributes in images)
    assert all(attributes["scope"] in {"col", "row"} for tag, attributes in page.attributes if tag == "th")
    landmarks = {tag for tag, _ in page.attributes}
    assert {"header", "nav", "main", "footer"} <= landmarks


def test_words_from_the_data_stay_words(written_run: Path):
    report = compose(written_run)
    table = report.tables["films-by-source"]
    hostile = replace(table, rows=(("<script>alert(1)</script>", *table.rows[0][1:]),))
    html = render_html(replace(report, tables=report.tables | {table.name: hostile}))
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    Page(html)


def test_a_refused_model_is_shown_as_refused(written_run: Path):
    report = compose(written_run)
    words = report.words | {"verdict": "Gate refused: cxr version 3 stays challenger."}
    html = render_html(replace(report, accepted=False, words=words))
    assert '<span class="failed">Gate refused: cxr version 3 stays challenger.</span>' in html


def test_a_run_without_search_or_subgroups_still_makes_a_page(written_run: Path, run: SyntheticRun):
    report = compose(written_run)
    left = {name: table for name, table in report.tables.items() if name not in {"trials", "best-recipe", "importance"}}
    Page(render_html(replace(report, tables=left, forest=None, samples=(), pictures=report.pictures | {"search": ()})))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_background(scheme: str):
    """WCAG 2.2: at least 4.5 to 1."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), flags=re.DOTALL)[:2]
    colours = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in blocks]
    palette = colours[0] if scheme == "light" else colours[0] | colours[1]
    for ink in ("ink", "muted", "accent", "good", "bad", "warn"):
        for paper in ("paper", "soft"):
            assert contrast(palette[ink], palette[paper]) >= 4.5, (scheme, ink, paper)


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_key_figures_are_shown_with_the_ancestors(page: Page, run: SyntheticRun):
    assert "Ancestor: 77.8%" in page.text
    accuracy = run.metrics.overall["accuracy"]
    assert f"Accuracy {100 * (accuracy.value or 0):.1f}% 95% CI" in plain(page.text)


def test_the_same_run_gives_the_same_page(html: str, written_run: Path):
    assert render_html(compose(written_run)) == html


def test_an_undefined_headline_shows_its_reason(written_run: Path):
    report = compose(written_run)
    undefined = Estimate(value=None, reason="no film of Tuberculosis")
    figures = tuple(
        replace(figure, number=figure.number.of(undefined, figure.number.style)) for figure in report.key_figures
    )
    page = Page(render_html(replace(report, key_figures=figures)))
    assert page.text.count("no film of Tuberculosis") == len(figures)
