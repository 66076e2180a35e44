"""YAML as most people expect it: the core schema of YAML 1.2, where 1e-4 is a number and `no` is a word.

PyYAML follows YAML 1.1, which reads 1e-4 as text, `no` as false, 010 as eight and 1:30 as ninety.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_FIRST = {
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "tag:yaml.org,2002:int": (re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
}


def load_yaml(text: str) -> Any:
    """Parse one YAML document.

    Raises:
        ValueError: the text is no YAML, or a mapping has a key twice; the message says where.
        ModuleNotFoundError: PyYAML is not installed.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = _resolvers()

        def construct_mapping(self, node: "yaml.MappingNode", deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value]
            twice = next((key for key in keys if keys.count(key) > 1), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"{twice} occurs twice", node.start_mark)
            return super().construct_mapping(node, deep)

    Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
    Loader.add_constructor(
        "tag:yaml.org,2002:float", lambda loader, node: float(re.sub(r"\.(?=[inIN])", "", node.value))
    )
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).replace('in "<unicode string>", ', "at ").split())) from error


def dump_yaml(value: Any) -> str:
    """Write plain values as YAML in the order given; `load_yaml` reads the same values back."""
    import yaml

    class Dumper(yaml.SafeDumper):
        yaml_implicit_resolvers = _resolvers()

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100))


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's table: first character to candidate tags."""
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, (pattern, characters) in _FIRST.items():
        for character in characters:
            table.setdefault(character, []).append((tag, pattern))
    return table
