"""What holds for every contract there is."""

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

import cxr.contracts
from cxr.contracts.files import Contract
from cxr.contracts.metrics import OperatingPoint

MODULES = [f"cxr.contracts.{module.name}" for module in pkgutil.iter_modules(cxr.contracts.__path__)]


def contracts() -> Iterator[type[Contract]]:
    for name in MODULES:
        importlib.import_module(name)
    waiting = [Contract]
    while waiting:
        found = waiting.pop().__subclasses__()
        waiting += found
        yield from (kind for kind in found if kind.__module__ in MODULES)


CONTRACTS = sorted(contracts(), key=lambda kind: (kind.__module__, kind.__name__))


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda kind: kind.__name__)
def test_it_is_frozen_strict_documented_and_has_a_schema(contract):
    assert contract.__struct_config__.frozen
    assert contract.__struct_config__.forbid_unknown_fields
    assert contract.__doc__
    schema = msgspec.json.schema(contract)["$defs"][contract.__name__]
    assert schema["additionalProperties"] is False
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no such field": 1}, contract)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda kind: kind.__name__)
def test_a_contract_with_a_version_writes_the_newest_and_reads_every_older_one(contract):
    version = {field.name: field for field in msgspec.structs.fields(contract)}.get("version")
    if version is not None:
        assert version.type.__args__ == tuple(range(1, version.default + 1))


def test_contracts_cost_no_heavy_import():
    names = [name for name in MODULES if name.rpartition(".")[2] not in ("studies", "evaluated")]
    program = (
        f"import sys, {', '.join(names)}; print(*{{'torch', 'pandas', 'sklearn', 'optuna', 'yaml'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_an_operating_point_is_named_by_finding_rule_and_target():
    point = OperatingPoint(
        finding="Tuberculosis",
        name="sensitivity_at_least",
        target=0.9,
        threshold=0.2,
        validation_sensitivity=0.91,
        validation_specificity=0.8,
    )
    assert point.key == "Tuberculosis/sensitivity_at_least/0.9"
    assert msgspec.structs.replace(point, name="youden", target=None).key == "Tuberculosis/youden"
