"""YAML and JSON as people write them: in a file or as text, and what is wrong with the values in it."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import LiteralType, StructType, TupleType, Type, VarTupleType

from cxr.contracts.yaml12 import load_yaml
from cxr.errors import CxrError

SUFFIXES = (".yaml", ".yml", ".json")

_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "names and values",
}


def is_file(source: str) -> bool:
    """Whether a source is the path of a file rather than YAML or JSON text.

    >>> is_file("cluster.yaml"), is_file("{cluster.yaml}")
    (True, False)
    """
    return not ("\n" in source.strip() or "{" in source) and source.strip().endswith(SUFFIXES)


def read_source(source: str, *, name: str, error: type[CxrError]) -> tuple[str, str]:
    """Text of a source, a path or text itself, and what to call it in errors; raises `error` for an unreadable file."""
    if not is_file(source):
        return source, f"the {name} given as text"
    path = source.strip()
    try:
        return Path(path).read_text(encoding="utf-8"), path
    except (OSError, UnicodeDecodeError) as unreadable:
        raise error(f"the {name} {path} must be a readable text file: {unreadable}") from unreadable


def parse(text: str, origin: str, error: type[CxrError]) -> Any:
    """The value of YAML or JSON text; JSON needs nothing but msgspec. Raises `error` with `origin` for other text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        pass
    try:
        return load_yaml(text)
    except ValueError as broken:
        raise error(f"{origin} must be YAML or JSON: {broken}") from broken
    except ModuleNotFoundError as missing:
        raise error(f"{origin} must be JSON where PyYAML is not installed (pip install pyyaml)") from missing


def explain(message: str, value: Any, kind: Type, *, whole: str) -> str:
    """One sentence from a message of msgspec, with the dotted path and the value received.

    Args:
        message: of `msgspec.ValidationError`.
        value: all that was converted, plain.
        kind: of the contract.
        whole: what to call the value where the path is empty.
    """
    found = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", message, re.DOTALL)
    what, path = (found[1], found[2] or "") if found else (message, "")
    inner: Type | None = kind
    for key in re.findall(r"\.\.\.|[^.\[\]]+", path):
        if key == "...":  # some value of a mapping, msgspec does not say which
            inner = None
            break
        value, inner = value[int(key) if isinstance(value, Sequence) else key], _member(inner, key)
    path = path or whole
    if isinstance(inner, LiteralType):
        choices = [str(choice) for choice in inner.values]
        return f"{path} must be one of {', '.join(choices)}; is {value!r}{did_you_mean(str(value), choices)}"
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"{path} must state its {missing[1]}, is {value!r}"
    constraint = re.sub(r", got `?\w+`?$", "", what)
    if not constraint.startswith("Expected "):
        return f"{path}: {what}, is {value!r}"
    words = re.sub(r"`(\w+)`", lambda type_: _TYPE_NAMES.get(type_[1], type_[1]), constraint.removeprefix("Expected "))
    return f"{path} must be {words}, is {value!r}"


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """A hint at the nearest known word, or nothing."""
    near = difflib.get_close_matches(given, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _member(kind: Type | None, key: str) -> Type | None:
    if isinstance(kind, StructType):
        return next((field.type for field in kind.fields if field.encode_name == key), None)
    if isinstance(kind, TupleType):
        return kind.item_types[int(key)]
    return kind.item_type if isinstance(kind, VarTupleType) else None
