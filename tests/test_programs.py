import subprocess
import sys
from pathlib import Path

import pytest

from cxr.programs import program


@pytest.mark.parametrize("below", [True, False])
def test_a_program_runs_as_it_is_typed_in_the_working_folder(below, tmp_path, monkeypatch):
    folder = Path(sys.executable).parents[1] if below else tmp_path
    monkeypatch.chdir(folder)
    typed = program(Path(sys.executable).name)
    assert Path(typed).is_absolute() != below
    subprocess.run([typed if not below else f"./{typed}", "-c", ""], check=True)
