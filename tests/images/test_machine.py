import configparser
import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "images" / "machine.py"


@pytest.fixture(scope="module")
def machine():
    spec = importlib.util.spec_from_file_location("machine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mounts(options: list[str]) -> list[str]:
    assert options[::2] == ["--volume"] * (len(options) // 2)
    return options[1::2]


def read(path: Path) -> dict[str, dict[str, str]]:
    found = configparser.ConfigParser(interpolation=None)
    found.read(path)
    return {section: dict(found[section]) for section in found.sections()}


def test_a_machine_without_settings_gets_no_options(machine, tmp_path):
    assert machine.build_options({}, tmp_path / "pip.conf") == []
    assert not (tmp_path / "pip.conf").exists()


def test_what_the_settings_name_on_this_machine_is_mounted(machine, tmp_path):
    for name in ("wheels", "index/simple"):
        (tmp_path / name).mkdir(parents=True)
    authority = tmp_path / "authority.pem"
    authority.touch()
    settings = {
        "global": {
            "cert": str(authority),
            "extra-index-url": f"file://{tmp_path}/index/simple https://pypi.example/simple",
            "find-links": f"{tmp_path}/wheels {tmp_path}/absent",
        }
    }
    out = tmp_path / "runs" / "pip.conf"
    first, *others = mounts(machine.build_options(settings, out))
    assert first == f"{out}:/etc/pip.conf:ro"
    assert others == [f"{path}:{path}:ro" for path in sorted([authority, tmp_path / "index", tmp_path / "wheels"])]
    written = read(out)["global"]
    assert written["extra-index-url"].split() == settings["global"]["extra-index-url"].split()
    assert written["cert"] == str(authority)


def test_an_address_with_a_password_is_kept_as_it_is_and_from_others(machine, tmp_path):
    address = "https://user:pa%24s@pypi.example/simple"
    out = tmp_path / "pip.conf"
    options = machine.build_options({"global": {"index-url": address}}, out)
    assert read(out) == {"global": {"index-url": address}}
    assert out.stat().st_mode & 0o777 == 0o600
    assert "pa%24s" not in " ".join(options)


def test_a_variable_of_pip_wins_and_another_authority_is_a_last_resort(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example/simple")
    monkeypatch.setenv("PIP_CERT", "/first.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/second.pem")
    assert machine.pip_settings()["global"]["index-url"] == "https://pypi.example/simple"
    assert machine.pip_settings()["global"]["cert"] == "/first.pem"


def test_it_prints_words_for_a_shell(tmp_path):
    environment = os.environ | {"PIP_INDEX_URL": "https://pypi.example/simple"}
    out = tmp_path / "a folder" / "pip.conf"
    command = [sys.executable, SCRIPT, "--out", out]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert shlex.split(printed)[:2] == ["--volume", f"{out}:/etc/pip.conf:ro"]
