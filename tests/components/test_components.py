"""Every component is a step called with folders: no logic, nothing forgotten, nothing that the step does not know."""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path

import pytest
from kfp.dsl import Artifact
from kfp.dsl.types.type_annotations import is_Input_Output_artifact_annotation

import components
from components.image import IMAGE

NAMES = components.__all__
README = Path(components.__path__[0]) / "README.md"
STEP_MODULES = {"promote": "register"}


def function_of(name: str) -> ast.FunctionDef:
    source = textwrap.dedent(inspect.getsource(getattr(components, name).python_func))
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    return function


def step_call(name: str) -> ast.Call:
    """The one call of the step in the component's body."""
    calls = [
        node for node in ast.walk(function_of(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {name, f"step.{name}"}
    ]  # fmt: skip
    assert len(calls) == 1
    return calls[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_component_has_no_logic(name: str) -> None:
    function = function_of(name)
    branches = (ast.If, ast.While, ast.Try, ast.With, ast.Lambda, ast.FunctionDef, ast.Raise, ast.comprehension)
    found = [type(node).__name__ for node in ast.walk(function) if isinstance(node, branches) and node is not function]
    assert found == []
    statements = [node for node in function.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(statements) <= 6, "a docstring, the step, and what is shown of it"


@pytest.mark.parametrize("name", NAMES)
def test_a_component_passes_what_its_step_takes(name: str) -> None:
    module = importlib.import_module(f"cxr.steps.{STEP_MODULES.get(name, name)}")
    signature = inspect.signature(getattr(module, name))
    passed = {keyword.arg for keyword in step_call(name).keywords}
    required = {
        parameter.name for parameter in signature.parameters.values() if parameter.default is inspect.Parameter.empty
    }
    assert required <= passed <= set(signature.parameters)


@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_used_and_every_output_is_written(name: str) -> None:
    function = function_of(name)
    used = {node.id for statement in function.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    declared = {argument.arg for argument in function.args.args}
    only_for_the_cache = {"data_version"} if name == "ingest" else set()
    assert declared - used == only_for_the_cache


@pytest.mark.parametrize("name", NAMES)
def test_what_passes_between_components_is_a_typed_artifact(name: str) -> None:
    component = getattr(components, name)
    for parameter in inspect.signature(component.python_func).parameters.values():
        if parameter.annotation not in (str, bool):
            assert is_Input_Output_artifact_annotation(parameter.annotation)
            assert issubclass(parameter.annotation.__origin__, Artifact)
    spec = component.component_spec
    assert spec.implementation.container.image == IMAGE
    assert "pip install" not in str(spec.implementation.container.command)
    assert all(found.description for found in spec.inputs.values())
    described = inspect.getdoc(component.python_func) or ""
    assert [output for output in spec.outputs if f"{output}: " not in described] == []


def test_the_readme_lists_every_component() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"[`{name}`]({name}.py)" not in text] == []


def test_there_is_a_module_per_component() -> None:
    modules = {path.stem for path in Path(components.__path__[0]).glob("*.py")} - {"__init__", "image"}
    assert modules == set(NAMES)
