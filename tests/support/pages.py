"""Pages and reports read back: tables as cells, and the rules that a self-contained page keeps."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "col", "wbr"}


@dataclass
class PageTable:
    """A table of a page; `rows` holds the words of every cell, `values` the machine-readable numbers of each."""

    caption: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    values: list[list[list[float]]] = field(default_factory=list)

    def cell(self, row: str, column: str) -> list[float]:
        """Value, and ends of its interval where it has one, of one cell."""
        line = next(position for position, cells in enumerate(self.rows) if cells[0] == row)
        return self.values[line][self.columns.index(column)]


class Page(HTMLParser):
    """A page that is read strictly: every element is closed in its order.

    Attributes:
        tables: name to table.
        attributes: (tag, attributes) of every element.
        numbers: every `data` value and interval end.
        shown: every `data` value with the words that show it.
        text: words outside style, script and pre.
        ids: identifiers in order.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: dict[str, PageTable] = {}
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.numbers: list[float] = []
        self.shown: list[tuple[float, str]] = []
        self.ids: list[str] = []
        self._words: list[str] = []
        self._cell: list[str] | None = None
        self._table: PageTable | None = None
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.attributes.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        found = [float(attributes[name]) for name in ("value", "data-low", "data-high") if name in attributes]
        self.numbers += found
        if tag == "data":
            self._value = float(attributes["value"])
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(attributes["id"].removeprefix("table-"), PageTable())
        elif self._table and tag == "tr":
            self._table.rows.append([])
            self._table.values.append([])
        elif self._table and tag in {"td", "th", "caption"}:
            self._cell = []
            if tag != "caption":
                self._table.values[-1].append([])
        if self._table and self._table.values and self._table.values[-1]:
            self._table.values[-1][-1] += found

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        if tag in {"td", "th", "caption"} and self._table is not None and self._cell is not None:
            words = " ".join("".join(self._cell).split())
            if tag == "caption":
                self._table.caption = words
            else:
                self._table.rows[-1].append(words)
            self._cell = None
        elif tag == "table" and self._table is not None:
            self._table.columns = self._table.rows.pop(0)
            self._table.values.pop(0)
            self._table = None

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "data":
            self.shown.append((self._value, data))
        if self.open and self.open[-1] not in {"style", "script", "pre", "title"}:
            self._words.append(data)
        if self._cell is not None:
            self._cell.append(data)


def markdown_tables(text: str) -> dict[str, PageTable]:
    """Caption to table of every pipe table that follows a line in bold."""
    tables: dict[str, PageTable] = {}
    caption = ""
    for line in text.splitlines():
        if bold := re.fullmatch(r"\*\*(.+)\*\*", line):
            caption = unescaped(bold[1])
        elif line.startswith("| "):
            cells = [unescaped(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            table = tables.setdefault(caption, PageTable(caption=caption))
            if not table.columns:
                table.columns = cells
            elif not set("".join(cells)) <= set("-: "):
                table.rows.append(cells)
    return tables


def unescaped(text: str) -> str:
    """Markdown as it reads."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"</?sup>", "", text))


def plain(cell: str) -> str:
    """A cell's words without what only sets an interval or a footnote apart."""
    return " ".join(re.sub(r"[()]", " ", cell).split())


def external_addresses(html: str) -> list[str]:
    """Everything in a page that a browser would fetch from elsewhere."""
    found = re.findall(r"""(?:src|href|action|poster|srcset|data)\s*=\s*["'](?!#|data:)([^"']+)""", html)
    found += re.findall(r"url\((?!['\"]?data:)([^)]*)\)", html)
    return found + re.findall(r"@import[^;]+", html)
