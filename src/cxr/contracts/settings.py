"""From YAML or JSON text, or a file of it, to a checked contract; what it does not state keeps its default."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import StructType, Type, VarTupleType, type_info

from cxr.contracts.written import did_you_mean, explain, parse, read_source
from cxr.errors import CxrError

T = TypeVar("T", bound=msgspec.Struct)


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
    text, origin = read_source(source, name=name, error=error)
    value = parse(text, origin, error) if text.strip() else None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise error(f"{origin} must hold names and values, holds {str(value)[:80]!r}")
    try:
        unknown = next(_unknown(value, type_info(kind), ""), None)
        if unknown is None:
            return msgspec.convert(value, kind)
    except msgspec.ValidationError as broken:
        raise error(f"{origin}: {explain(str(broken), value, type_info(kind), whole='it')}") from broken
    raise error(f"{origin}: {unknown}")


def _unknown(value: Any, kind: Type, path: str) -> Iterator[str]:
    """Every name that the contract does not have, as an error with the nearest one that it has."""
    if isinstance(kind, StructType) and isinstance(value, Mapping):
        known = {field.encode_name: field.type for field in kind.fields}
        for given, inner in value.items():
            full = f"{path}.{given}" if path else str(given)
            if given in known:
                yield from _unknown(inner, known[given], full)
                continue
            hint = did_you_mean(str(given), list(known)) or "."
            yield f"{full} is not known{hint} Known{f' in {path}' if path else ''}: {', '.join(known)}"
    elif isinstance(kind, VarTupleType) and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unknown(inner, kind.item_type, f"{path}[{number}]")
