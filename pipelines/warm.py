"""A warm interpreter for the tasks of a local run.

KFP starts every task as a new process, and importing torch, torchvision and kfp takes seconds, a dozen times over.
This server imports the steps once, while the first task runs, and then forks a child for each task: as isolated as a
new process, without the wait. It serves until its standard input ends, which is when the run ends, however it ends.
"""

import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import IO

import cxr.steps
from pipelines.task import WARM_VARIABLE, execute, receive_task

_SOCKET = "socket"


@contextmanager
def warm_interpreter(log: IO[str], *, modules: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """Start a server and yield the environment that makes tasks use it; its folder also holds their temporary files.

    Args:
        log: for what importing says.
        modules: to import in advance; KFP's executor and all steps when None.
    """
    with TemporaryDirectory(prefix="cxr-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "pipelines.warm", folder, *(modules or _task_modules())]
        own = {"TMPDIR": folder}
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=os.environ | own)  # noqa: S603
        with server:
            try:
                yield {WARM_VARIABLE: f"{folder}/{_SOCKET}", **own}
            finally:
                server.kill()


def serve(folder: Path, modules: Sequence[str]) -> None:
    """Import the modules, then fork a child for each client until standard input ends."""
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import(modules)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / _SOCKET))
        listener.listen()
        while True:
            readable, _, _ = select.select([listener, ended, sys.stdin], [], [])
            if sys.stdin in readable:
                break
            if ended in readable:
                ended.recv(4096)
                _bury()
            if listener in readable:
                client, _ = listener.accept()
                with client:
                    _fork(client)
    rmtree(folder, ignore_errors=True)


def _task_modules() -> list[str]:
    steps = [f"cxr.steps.{found.name}" for found in pkgutil.iter_modules(cxr.steps.__path__)]
    return ["kfp.dsl.executor_main", *steps]


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            sys.stderr.write(f"{module} is not imported in advance: {error}\n")
    gc.freeze()


def _fork(client: socket.socket) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # only this thread has ever run Python code
        child = os.fork()
    if child:
        return
    status = 1
    try:
        status = _run_task(client)
        client.sendall(bytes([status]))
    finally:
        os._exit(status)


def _bury() -> None:
    """Reap the children that have ended, and kill what they may have left running: it holds their client's socket."""
    with suppress(ChildProcessError):
        while child := os.waitpid(-1, os.WNOHANG)[0]:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)


def _run_task(client: socket.socket) -> int:
    """Run one task in this process, which is the forked one, with the client's streams, environment and folder."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    task, streams = receive_task(client)
    for standard, stream in enumerate(streams):
        os.dup2(stream, standard)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(task["environment"])
    os.chdir(task["folder"])
    try:
        return execute(task["arguments"], client=client)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
