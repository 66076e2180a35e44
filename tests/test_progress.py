"""Progress on a real terminal (a pseudo-terminal), and its absence elsewhere."""

import json
import os
import pty
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from cxr.progress import METRICS_VARIABLE, RECORD, VARIABLE

PROGRAM = """
from cxr.progress import progress
with progress("outer work", 2) as outer:
    for _ in range(2):
        with progress("inner work", 3) as inner:
            for _ in range(3):
                inner(1)
        outer(1)
print("done")
"""


def on_terminal(program: str) -> str:
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=end, stderr=end, env=environment) as process:
        os.close(end)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:
                break
    os.close(terminal)
    assert process.returncode == 0, shown
    return shown.decode()


def test_work_within_work_shares_one_display():
    shown = on_terminal(PROGRAM)
    assert "outer work" in shown
    assert "inner work" in shown
    assert shown.count("\x1b[?25l") == 1, "the cursor is hidden once: by one display"
    assert shown.rstrip().endswith("done")


def test_nothing_is_shown_where_there_is_no_terminal(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_run_that_asks_for_records_gets_them_between_the_lines():
    environment = {**os.environ, VARIABLE: "records"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    *lines, last, _ = done.stdout.split("\n")
    records = [json.loads(line.removeprefix(RECORD)) for line in lines]
    assert records[0] == {"progress": "outer work", "done": 0, "total": 2}
    ended = [record["progress"] for record in records if record["done"] is None]
    assert ended == ["inner work", "inner work", "outer work"]
    assert (last, done.stderr) == ("done", "")


METRICS = """
from cxr.progress import metrics
metrics(epoch=3, validation_macro_auroc=0.5, loss=1e-5)
"""


def test_measures_are_written_only_for_whom_asked_for_them():
    environment = {name: value for name, value in os.environ.items() if name != METRICS_VARIABLE}
    run = [sys.executable, "-c", METRICS]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("", "")
    asked = {**environment, METRICS_VARIABLE: "lines"}
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=asked)
    stamp, _, rest = done.stdout.partition(" ")
    assert rest == "epoch=3 validation_macro_auroc=0.500000 loss=0.000010\n"
    assert datetime.fromisoformat(stamp).tzinfo is not None
