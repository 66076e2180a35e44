"""From YAML or JSON text, or a file of it, to a checked contract; what it does not state keeps its default."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import StructType, Type, VarTupleType, type_info

from cxr.contracts.yaml12 import load_yaml
from cxr.errors import CxrError

T = TypeVar("T", bound=msgspec.Struct)

_SUFFIXES = (".yaml", ".yml", ".json")
_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "names and values",
}


def read_settings(source: str, kind: type[T], *, name: str, error: type[CxrError]) -> T:
    """Read a contract all of whose fields have defaults.

    Args:
        source: path of a .yaml, .yml or .json file, or YAML or JSON text; empty for the defaults.
        kind: of the contract.
        name: what to call it in errors.
        error: class of the errors raised.

    Raises:
        CxrError: of class `error`: the source cannot be read, a name is unknown (the error gives the nearest), or a
            value breaks its type or bounds.
    """
    text, origin = _text(source, name, error)
    value = _parse(text, origin, error)
    if not isinstance(value, dict):
        raise error(f"{origin} must hold names and values, holds {str(value)[:80]!r}")
    try:
        unknown = next(_unknown(value, type_info(kind), ""), None)
        if unknown is None:
            return msgspec.convert(value, kind)
    except msgspec.ValidationError as broken:
        raise error(f"{origin}: {_explain(str(broken), value)}") from broken
    raise error(f"{origin}: {unknown}")


def _text(source: str, name: str, error: type[CxrError]) -> tuple[str, str]:
    """Text of a source, and what to call it in errors."""
    if "\n" in source or "{" in source or not source.strip().endswith(_SUFFIXES):
        return source, f"the {name} given as text"
    try:
        return Path(source.strip()).read_text(encoding="utf-8"), source.strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise error(f"the {name} {source.strip()} must be a readable text file: {unreadable}") from unreadable


def _parse(text: str, origin: str, error: type[CxrError]) -> Any:
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        pass
    try:
        value = load_yaml(text)
    except ValueError as broken:
        raise error(f"{origin} must be YAML or JSON: {broken}") from broken
    except ModuleNotFoundError as missing:
        raise error(f"{origin} must be JSON where PyYAML is not installed (pip install pyyaml)") from missing
    return {} if value is None else value


def _unknown(value: Any, kind: Type, path: str) -> Iterator[str]:
    """Every name that the contract does not have, as an error with the nearest one that it has."""
    if isinstance(kind, StructType) and isinstance(value, Mapping):
        known = {field.encode_name: field.type for field in kind.fields}
        for given, inner in value.items():
            full = f"{path}.{given}" if path else str(given)
            if given in known:
                yield from _unknown(inner, known[given], full)
                continue
            near = difflib.get_close_matches(str(given), known, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            yield f"{full} is not known{hint} Known{f' in {path}' if path else ''}: {', '.join(known)}"
    elif isinstance(kind, VarTupleType) and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unknown(inner, kind.item_type, f"{path}[{number}]")


def _explain(message: str, value: Any) -> str:
    """One sentence from msgspec's message, with the dotted path and the value received."""
    found = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", message, re.DOTALL)
    what, path = (found[1], found[2] or "") if found else (message, "")
    for key in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, ValueError, TypeError):  # "[...]" of a mapping's values names none of them
            break
    constraint = re.sub(r", got `?\w+`?$", "", what)
    if not constraint.startswith("Expected "):
        return f"{path}: {what}, is {value!r}" if path else what
    words = re.sub(r"`(\w+)`", lambda type_: _TYPE_NAMES.get(type_[1], type_[1]), constraint.removeprefix("Expected "))
    return f"{path or 'it'} must be {words}, is {value!r}"
