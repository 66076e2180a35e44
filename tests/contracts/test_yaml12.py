import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.yaml12 import dump_yaml, load_yaml

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["yes", "no", "1e-4", "1_000", "0x1F", "010", "1:30", "2026-01-01", "~", "null", ".5", "=", "<<"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3)
)


@settings(max_examples=30)
@given(values)
def test_what_is_dumped_is_loaded(value):
    assert load_yaml(dump_yaml(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        # YAML 1.1 reads all of these as something else
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("2026-01-01", "2026-01-01"),
        ("[1e-4, no]", [1e-4, "no"]),
        ("{a: 1e-4}", {"a": 1e-4}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    loaded = load_yaml(text)
    assert loaded == value
    assert type(loaded) is type(value)


def test_not_a_number_is_one():
    assert math.isnan(load_yaml(".nan"))


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: 1, a: 2}", "b: {a: 1, a: 1}"])
def test_a_key_that_occurs_twice_is_an_error_that_says_where(text):
    with pytest.raises(ValueError, match=r"a occurs twice at line \d"):
        load_yaml(text)


@pytest.mark.parametrize("text", ["[", "a: b: c", "%", "!!python/object/apply:os.system ['true']", "*a", "- " * 5000])
def test_what_is_no_plain_yaml_is_an_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        load_yaml(text)


def test_pyyaml_itself_is_left_as_it_is():
    load_yaml("a: 1e-4")
    assert yaml.safe_load("a: yes") == {"a": True}
