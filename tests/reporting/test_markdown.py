import re

from hypothesis import given
from hypothesis import strategies as st

from cxr.reporting.markdown import escape_markdown, pipe_table
from cxr.reporting.tables import Number, Table, count


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


@given(st.text())
def test_escaped_text_reads_as_it_was_but_on_one_line(text: str):
    escaped = escape_markdown(text)
    assert unescape(escaped) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<*_`\[]", escaped)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_table_has_as_many_cells_per_line_whatever_the_words(names: list[str]):
    table = Table(name="t", caption="T", columns=("Row", "A"), rows=tuple((name, count(1)) for name in names))
    lines = [line for line in pipe_table(table).splitlines() if line.startswith("|")]
    assert len(lines) == len(names) + 2
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3 for line in lines)


def test_intervals_notes_and_reasons_are_written_out():
    cells = (Number(value=0.5, low=0.4, high=0.6, style="share"), Number(value=None, style="share", reason="no film"))
    text = pipe_table(Table(name="t", caption="T", columns=("Row", "A", "B"), rows=(("x", *cells),), note="A note."))
    assert "| x | 50.0% (40.0–60.0) | — <sup>a</sup> |" in text
    assert text.startswith("**T**\n\n| Row | A | B |\n| --- | ---: | ---: |")
    assert text.endswith("A note.\n\n<sup>a</sup> no film")
