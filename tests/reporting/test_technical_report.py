import re
from itertools import pairwise
from pathlib import Path

import pytest

from cxr.reporting.composition import Report
from cxr.reporting.html import render_html
from cxr.reporting.technical_report import render_technical_report
from support.pages import Page, markdown_tables, plain
from support.synthetic_run import compose


@pytest.fixture(scope="module")
def composed(written_run: Path) -> Report:
    return compose(written_run)


@pytest.fixture(scope="module")
def text(composed: Report) -> str:
    return render_technical_report(composed)


def test_its_tables_are_those_of_the_page(text: str, composed: Report):
    page = Page(render_html(composed))
    by_caption = {
        table.caption.removesuffix(f" {composed.tables[name].note}"): table for name, table in page.tables.items()
    }
    tables = markdown_tables(text)
    assert set(tables) - set(by_caption) == {"Key figures"}
    assert set(by_caption) <= set(tables)
    for caption, table in by_caption.items():
        assert tables[caption].columns == table.columns
        assert [[plain(cell) for cell in row] for row in tables[caption].rows] == [
            [plain(re.sub(r"^—(\w+)$", r"— \1", cell)) for cell in row] for row in table.rows
        ]


def test_its_sentences_are_those_of_the_page(text: str, composed: Report):
    page = Page(render_html(composed)).text
    unescaped = re.sub(r"\\(.)", r"\1", text)
    for words in composed.words.values():
        assert words in page
        assert words in unescaped
    for caveat in composed.caveats:
        assert f"**{caveat.title}.** {caveat.text}" in unescaped
        assert f"{caveat.title} . {caveat.text}" in page or f"{caveat.title}. {caveat.text}" in page


def test_its_pictures_are_files_of_the_run(text: str, composed: Report):
    named = set(re.findall(r"!\[[^\]]+\]\(figures/([^)]+)\)", text))
    assert named == {picture.path.name for section in composed.pictures.values() for picture in section}


def test_headings_follow_each_other_without_gaps(text: str):
    levels = [len(mark) for mark in re.findall(r"^(#+) ", text, flags=re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_no_more_than_one_empty_line_in_a_row(text: str):
    assert "\n\n\n" not in text
