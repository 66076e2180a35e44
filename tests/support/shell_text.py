"""The commands in the fenced blocks of a document, taken apart as far as checking them needs."""

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'(\w+)'\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_INNER = re.compile(r"\$\(([^()]*)\)")
_VARIABLE = re.compile(r"\$\{?([A-Z_a-z][A-Z_a-z0-9]*)\}?")
_ASSIGNED = re.compile(r"([A-Z_][A-Z_0-9]*)=(.*)", re.DOTALL)
_BETWEEN = {"|", "||", "&&", "&", ";"}
_TEXT = "__HEREDOC__"


class Unusable(ValueError):  # noqa: N818 - what is wrong with a command
    """A command that would not work."""


@dataclass(frozen=True)
class Command:
    """One program with its arguments.

    Attributes:
        words: the program first.
        source: as it is written.
        piped: it reads what the command before it writes.
        document: text that follows the command as its input.
    """

    words: tuple[str, ...]
    source: str
    piped: bool = False
    document: str = ""


def blocks(text: str) -> list[str]:
    """The fenced blocks of shell commands."""
    return [textwrap.dedent(found[3]) for found in _FENCE.finditer(text) if found[2] == "sh"]


def commands(block: str, variables: dict[str, str]) -> Iterator[Command]:
    """The commands of a block in the order in which a shell would start them.

    Args:
        block: lines of shell.
        variables: what is set before; what the block exports is added.

    Raises:
        Unusable: a variable is nowhere set, or a quote is not closed.
    """
    documents = [found[2] for found in _HEREDOC.finditer(block)]
    block = _HEREDOC.sub(f"{_TEXT}\n", block)
    for line in re.sub(r"(\\|\|)\n\s*", lambda found: " " if found[1] == "\\" else "| ", block).splitlines():
        if not line.strip():
            continue
        for inner in _INNER.finditer(line):
            yield from _line(inner[1], variables, documents)
        yield from _line(_INNER.sub("VALUE", line), variables, documents)


def _line(line: str, variables: dict[str, str], documents: list[str]) -> Iterator[Command]:
    piped = False
    for words, separator in _simple(line):
        if words and words[0] == "export":
            variables |= dict(map(_assignment, _expanded(words[1:], variables)))
        else:
            given = _expanded(words, variables)
            while given and _ASSIGNED.fullmatch(given[0]):
                given.pop(0)
            document = documents.pop(0) if _TEXT in given else ""
            yield Command(tuple(word for word in given if word != _TEXT), line.strip(), piped, document)
        piped = separator == "|"


def _simple(line: str) -> Iterator[tuple[list[str], str]]:
    """Words of each command of a line, without redirections, and what stands behind it."""
    reader = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    reader.whitespace_split, reader.commenters = True, ""
    words: list[str] = []
    try:
        for word in reader:
            if word in _BETWEEN:
                yield words, word
                words = []
            elif word == ">":
                next(reader)
            else:
                words.append(word)
    except ValueError as error:
        raise Unusable(f"{error}: {line}") from error
    if words:
        yield words, ""


def _expanded(words: list[str], variables: Mapping[str, str]) -> list[str]:
    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise Unusable(f"${found[1]} is nowhere set: {' '.join(words)}")
        return variables[found[1]]

    return [_VARIABLE.sub(value, word) for word in words]


def _assignment(word: str) -> tuple[str, str]:
    found = _ASSIGNED.fullmatch(word)
    if not found:
        raise Unusable(f"an assignment must be NAME=VALUE, is {word}")
    return found[1], found[2]
