"""What a person sees of a local run: one line per step, and the progress of the step that is going on.

KFP's local runner prints a log. `Console` is a stream that takes that log in place of standard output: all of it goes
to a file, and what matters in it to standard error.
"""

import io
import json
import re
import sys
import time
from typing import IO, TYPE_CHECKING, Any

from cxr.progress import RECORD

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import TaskID

_COLOUR = re.compile(r"\x1b\[\d+m")
_KFP = r"\d\d:\d\d:\d\d\.\d+ - [A-Z]+ - "
_STARTED = re.compile(_KFP + r"Executing task '([\w-]+)'")
_ENDED = re.compile(_KFP + r"Task '([\w-]+)' finished with status (SUCCESS|FAILURE)")
_CACHED = re.compile(_KFP + r"Task ([\w-]+) cache hit")


class Console(io.TextIOBase):
    """A text stream for the log of a local run.

    Attributes:
        error: what the failed step said; None until a step fails.
        failed: name of the failed step.
        outputs: name to path of the artifacts of the steps that were executed.
    """

    def __init__(self, log: IO[str]) -> None:
        self.error: str | None = None
        self.failed: str | None = None
        self.outputs: dict[str, str] = {}
        self._log = log
        self._line = ""
        self._began = 0.0
        self._display = _Bars() if sys.stderr.isatty() else _Lines()

    def write(self, text: str) -> int:
        """Take a piece of the log."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(_COLOUR.sub("", line))
        return len(text)

    def _take(self, line: str) -> None:
        _, found, record = line.partition(RECORD)
        if found:
            self._record(json.loads(record))
            return
        self._log.write(f"{line}\n")
        self._log.flush()
        if match := _STARTED.match(line):
            self._began = time.monotonic()
            self._display.started(match[1])
        elif match := _CACHED.match(line):
            self._display.ended(match[1], "cached")
        elif match := _ENDED.match(line):
            seconds = time.monotonic() - self._began
            if match[2] == "FAILURE":
                self.failed = match[1]
            self._display.ended(
                match[1], f"{seconds:.1f} s" if match[2] == "SUCCESS" else f"failed after {seconds:.1f} s"
            )

    def _record(self, record: dict[str, Any]) -> None:
        if "error" in record:
            self.error = record["error"]
        elif "outputs" in record:
            self.outputs.update(record["outputs"])
        elif "progress" in record:
            self._display.progress(record["progress"], record["done"], record["total"])

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._display.close()
        super().close()


def _say(step: str, words: str) -> None:
    sys.stderr.write(f"{step:<12} {words}\n")
    sys.stderr.flush()


class _Lines:
    """Where there is no terminal: a line when a step starts and one when it has ended."""

    def started(self, step: str) -> None:
        _say(step, "…")

    def ended(self, step: str, words: str) -> None:
        _say(step, words)

    def progress(self, description: str, done: int | None, total: int) -> None:
        """Nothing: a log is no place for a bar."""

    def close(self) -> None:
        """Nothing to leave."""


class _Bars:
    """On a terminal: the step that is going on, with its bars, gives way to one line when it has ended."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def started(self, step: str) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from cxr.progress import bars

        self._tasks: dict[str, TaskID] = {}
        self._bars = bars() or Progress()
        name = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        name.add_task(step)
        self._live = Live(
            Group(name, self._bars),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def ended(self, step: str, words: str) -> None:
        self.close()
        _say(step, words)

    def progress(self, description: str, done: int | None, total: int) -> None:
        if self._live is None:
            return
        if done is None:
            if description in self._tasks:
                self._bars.remove_task(self._tasks.pop(description))
            return
        if description not in self._tasks:
            self._tasks[description] = self._bars.add_task(description, total=total)
        self._bars.update(self._tasks[description], completed=done)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
