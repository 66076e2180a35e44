"""A small pipeline under KFP's own local runner: results, cache, errors, kills."""

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import pipelines.local
from cxr.errors import PipelineError
from pipelines.local import LOG_FILE, run_locally
from pipelines.task import WARM_VARIABLE
from pipelines.warm import warm_interpreter
from support.toy_pipeline import toy

ROOT = Path(__file__).parents[2]
PROGRAM = """
import signal
import sys
from pathlib import Path
from support.toy_pipeline import toy
from pipelines.local import run_locally
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
run_locally(toy, {"count": 40, "mode": sys.argv[2]}, run=Path(sys.argv[1]), code="1")
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for temporary files that nothing else writes to."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose tasks find the warm interpreter ready, which in a short run they do not."""

    @contextmanager
    def ready(log: IO[str]) -> Iterator[dict[str, str]]:
        with warm_interpreter(log, modules=["kfp.dsl.executor_main"]) as environment:
            wait_until(Path(environment[WARM_VARIABLE]).exists)
            yield environment

    monkeypatch.setattr(pipelines.local, "warm_interpreter", ready)


@pytest.fixture(params=["cold", "warm"])
def either(request: pytest.FixtureRequest) -> str:
    """Once with tasks in processes of their own, once with tasks in children of the warm interpreter."""
    if request.param == "warm":
        request.getfixturevalue("warm")
    return str(request.param)


def total(run: Path, *, count: int = 5, mode: str = "", code: str = "1", cached: bool = True) -> int:
    artifacts = run_locally(toy, {"count": count, "mode": mode}, run=run, code=code, cached=cached)
    return int((artifacts["Output"] / "total.txt").read_text())


def program(run: Path, mode: str = "") -> tuple[list[str], dict[str, str]]:
    search = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return [sys.executable, "-c", PROGRAM, str(run), mode], {**os.environ, "PYTHONPATH": search}


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def children(program: str) -> list[int]:
    """This process's children that run `program`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and program in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def steps(captured: str) -> dict[str, str]:
    """Last word of the console on every step."""
    return {line.split()[0]: line.split(maxsplit=1)[1].split()[0] for line in captured.splitlines()}


def test_what_has_not_changed_is_answered_from_the_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert total(tmp_path / "a") == 20
    first = capsys.readouterr()
    assert first.out == ""
    assert [line.split()[0] for line in first.err.splitlines()] == [
        step for step in ("numbers", "double", "total") for _ in range(2)
    ]
    assert "Executing task 'numbers'" in (tmp_path / "a" / LOG_FILE).read_text()

    assert total(tmp_path / "b") == 20
    assert capsys.readouterr().err.startswith("numbers      cached\ndouble       cached\ntotal        …\ntotal ")

    assert total(tmp_path / "b", count=6) == 30
    assert "cached" not in capsys.readouterr().err


def test_changed_code_lost_artifacts_and_the_flag_execute_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a"
    total(run)
    assert total(run, code="2") == 20
    assert "cached" not in capsys.readouterr().err
    assert total(run, cached=False) == 20
    assert "cached" not in capsys.readouterr().err
    first, *_ = sorted((tmp_path / ".artifacts").glob("toy-*/double/doubled"))
    first.rename(tmp_path / "elsewhere")
    assert total(run) == 20
    said = steps(capsys.readouterr().err)
    assert said["numbers"] == "cached"
    assert said["double"] != "cached"


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("refuse", "numbers must be even, are odd; choose others"),
        ("break", "unexpected KeyError: 'no such number'"),
        ("killed", "step double was killed, most often because the machine ran out of memory"),
    ],
)
def test_a_failed_step_ends_the_run_with_its_own_words(
    tmp_path: Path, temporary: Path, either: str, capsys: pytest.CaptureFixture[str], mode: str, message: str
) -> None:
    began = time.monotonic()
    with pytest.raises(PipelineError) as caught:
        total(tmp_path / "a", mode=mode)
    assert str(caught.value) == message
    assert time.monotonic() - began < 25, "a step that failed on this machine is not tried again"
    said = capsys.readouterr().err
    assert "double       failed after" in said
    assert "total" not in said
    log = (tmp_path / "a" / LOG_FILE).read_text()
    assert ("Traceback (most recent call last)" in log) == (mode != "killed")
    assert not list((tmp_path / ".artifacts").glob("toy-*/double/doubled"))
    assert list(temporary.iterdir()) == []


def test_a_killed_run_leaves_nothing_behind_and_goes_on_where_it_was(
    tmp_path: Path, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, waiting = tmp_path / "a", tmp_path / "waiting"
    command, environment = program(run, f"wait {waiting}")
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(waiting.exists)
        with pytest.raises(PipelineError, match="only one pipeline at a time may run"):
            total(tmp_path / "b")
        process.kill()
    step = int(waiting.read_text())
    wait_until(lambda: not alive(step), seconds=10)
    wait_until(lambda: not list(temporary.iterdir()), seconds=60)
    capsys.readouterr()
    assert total(run, count=40, mode=f"wait {waiting}") == sum(range(40)) * 2
    said = steps(capsys.readouterr().err)
    assert said["numbers"] == "cached"
    assert said["double"] != "cached"


@pytest.mark.usefixtures("warm")
def test_tasks_are_children_of_the_warm_interpreter(tmp_path: Path) -> None:
    marker = tmp_path / "parents"
    total(tmp_path / "a", mode=f"parent {marker}")
    server, program_name = marker.read_text().split(maxsplit=1)
    assert "pipelines.warm" in program_name
    wait_until(lambda: not alive(int(server)), seconds=10)


@pytest.mark.usefixtures("warm")
def test_a_task_of_the_warm_interpreter_dies_with_its_client(tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    failures: list[PipelineError] = []

    def run() -> None:
        try:
            total(tmp_path / "a", mode=f"wait {waiting}")
        except PipelineError as error:
            failures.append(error)

    def kill_client() -> None:
        wait_until(waiting.exists)
        (client,) = children("pipelines.task")
        os.kill(client, signal.SIGKILL)

    killer = threading.Thread(target=kill_client)
    killer.start()
    run()
    killer.join()
    assert [str(failure) for failure in failures] == [
        "step double was killed, most often because the machine ran out of memory"
    ]
    wait_until(lambda: not alive(int(waiting.read_text())), seconds=10)


def test_interrupting_a_run_stops_its_step(tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    command, environment = program(tmp_path / "a", f"wait {waiting}")
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(waiting.exists)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
    wait_until(lambda: not alive(int(waiting.read_text())), seconds=10)


def test_a_terminal_sees_one_line_per_step_and_progress_in_between(tmp_path: Path) -> None:
    command, environment = program(tmp_path / "a")
    controller, terminal = pty.openpty()
    with subprocess.Popen(command, env={**environment, "TERM": "xterm", "COLUMNS": "120"}, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        while True:
            try:
                seen += os.read(controller, 4096)
            except OSError:
                break
    os.close(controller)
    assert process.returncode == 0
    said = seen.decode()
    assert "doubling" in said
    assert "/40" in said
    assert "cxr {" not in (tmp_path / "a" / LOG_FILE).read_text()
    assert re.search(r"total +\d+\.\d s\s*$", said)


def test_the_components_run_unchanged_under_kfp_alone(tmp_path: Path) -> None:
    bare = """
import sys
from kfp import local
from support.toy_pipeline import toy
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1])
print(toy(count=4).outputs["Output"].path)
"""
    _, environment = program(tmp_path)
    command = [sys.executable, "-c", bare, str(tmp_path / "artifacts")]
    environment["TMPDIR"] = str(tmp_path)  # KFP leaves its programs there
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.splitlines()[-1], "total.txt").read_text() == "12"
