"""Progress of long work: a bar with rate and time left on a terminal, silence elsewhere.

A pipeline run starts every step as a process of its own, whose output is a log. It sets `CXR_PROGRESS=records`, reads
the records from between the lines of the log, and draws the bars itself. A trial of Katib's sets `CXR_METRICS=lines`
and gets what was measured as lines that its metrics collector parses.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, Task

RECORD = "\x1ecxr "
VARIABLE = "CXR_PROGRESS"
METRICS_VARIABLE = "CXR_METRICS"

_SECONDS_BETWEEN_RECORDS = 0.2


def emit(record: Mapping[str, Any]) -> None:
    """Write a line that is meant for the pipeline run which reads this process's output."""
    sys.stdout.write(f"{RECORD}{json.dumps(record)}\n")
    sys.stdout.flush()


def metrics(*, epoch: int, **measured: float) -> None:
    """Write `2026-01-31T12:00:00.000000Z epoch=3 NAME=0.912345 …` on standard output where `CXR_METRICS=lines`."""
    if os.environ.get(METRICS_VARIABLE) == "lines":
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        values = " ".join(f"{name}={value:.6f}" for name, value in measured.items())
        sys.stdout.write(f"{now} epoch={epoch} {values}\n")
        sys.stdout.flush()


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a progress bar by so many steps of `total`.

    Nothing is shown when standard error is no terminal, or when `rich` is not installed (a bare training machine).
    """
    if os.environ.get(VARIABLE) == "records":
        with _records(description, total) as advance:
            yield advance
        return
    with _display() as display:
        if display is None:
            yield lambda steps: None
            return
        task = display.add_task(description, total=total)
        try:
            yield lambda steps: display.advance(task, steps)
        finally:
            display.remove_task(task)


_shown: "list[Progress]" = []


@contextmanager
def _display() -> Iterator["Progress | None"]:
    """The display on the terminal: work within other work adds its bar to the one that is there."""
    display = bars() if sys.stderr.isatty() and not _shown else None
    if display is None:
        yield _shown[0] if _shown else None
        return
    _shown.append(display)
    try:
        with display:
            yield display
    finally:
        _shown.clear()


@contextmanager
def _records(description: str, total: int) -> Iterator[Callable[[int], None]]:
    done, last = 0, 0.0

    def advance(steps: int) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_RECORDS:
            last = now
            emit({"progress": description, "done": done, "total": total})

    advance(0)
    try:
        yield advance
    finally:
        emit({"progress": description, "done": None, "total": total})


def bars() -> "Progress | None":
    """A display of bars with rate and time left; None where `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text
    except ImportError:
        return None

    class Rate(ProgressColumn):
        def render(self, task: "Task") -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
