"""Markdown documents from templates: tables as pipe tables, words from the data escaped."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxr.reporting.tables import Cell, Number, Table

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def render_markdown(template: str, **context: object) -> str:
    """A template of `cxr.reporting.templates` as Markdown, with one empty line between blocks.

    Templates have the filters `escape_markdown` (words) and `pipe_table` (a `Table`).
    """
    text = _environment().get_template(template).render(**context)
    return re.sub(r"\n{3,}", "\n\n", text)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cxr.reporting"),
        autoescape=False,  # noqa: S701 - Markdown, whose own escape is a filter
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["escape_markdown"] = escape_markdown
    environment.filters["pipe_table"] = pipe_table
    return environment


def escape_markdown(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(escape_markdown("a|b_c"))
    a\|b\_c
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def pipe_table(table: Table) -> str:
    """A table in Markdown, its caption in bold above and its note and footnotes below."""
    letters = table.footnotes
    lines = [
        _line(tuple(escape_markdown(column) for column in table.columns)),
        _line(tuple("---:" if numeric else "---" for numeric in table.numeric)),
        *(_line(tuple(_cell(cell, letters) for cell in row)) for row in table.rows),
    ]
    notes = [escape_markdown(table.note)] if table.note else []
    notes += [f"<sup>{letter}</sup> {escape_markdown(reason)}" for reason, letter in letters.items()]
    return "\n\n".join([f"**{escape_markdown(table.caption)}**", "\n".join(lines), *notes])


def _cell(cell: Cell, letters: dict[str, str]) -> str:
    if not isinstance(cell, Number):
        return escape_markdown(cell)
    if cell.value is None:
        return cell.text + (f" <sup>{letters[cell.reason]}</sup>" if cell.reason else "")
    return f"{cell.text} ({cell.interval})" if cell.interval else cell.text


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
