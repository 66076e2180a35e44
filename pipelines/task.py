"""What one task of a local run executes: KFP's executor, with errors and outputs reported to the run's console.

`python -m pipelines.task kfp.dsl.executor_main ARGUMENTS…` hands the work to the server of `pipelines.warm` whose
socket the variable `CXR_WARM` names, and does it itself while there is none. It must start fast: standard library only.

The task's output is text for the log, but for the records that `cxr.progress.emit` writes for the console.
"""

import importlib
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.errors import CxrError
from cxr.progress import emit

WARM_VARIABLE = "CXR_WARM"
_LENGTH = 8
_METADATA_ONLY = ("system.Metrics", "system.ClassificationMetrics")


def main() -> int:
    """Run the task and return its exit status."""
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(os.environ.get(WARM_VARIABLE, ""))
        except OSError:
            return execute(sys.argv[1:])
        send_task(server, {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())})
        status = server.recv(1)
    return status[0] if status else 1


def execute(arguments: list[str], *, client: socket.socket | None = None) -> int:
    """Run KFP's executor with its arguments; an error is traced in the log and reported as one line.

    The process leads a group of its own, which is killed when whoever reads its output, or its `client`, has gone: a
    killed run leaves nothing at work.
    """
    os.setpgid(0, 0)
    threading.Thread(target=_die_with_reader, args=(client,), daemon=True).start()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.argv = arguments
    try:
        importlib.import_module(arguments[0]).executor_main()
        emit({"outputs": _outputs(arguments)})
    except CxrError as error:
        traceback.print_exc()
        emit({"error": " ".join(str(error).split())})
        return 1
    except Exception as error:  # noqa: BLE001 - whatever a step raises ends this process, and its last words are kept
        traceback.print_exc()
        emit({"error": f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"})
        return 1
    return 0


def send_task(server: socket.socket, task: Mapping[str, Any]) -> None:
    """Send a task with this process's standard streams."""
    message = json.dumps(task).encode()
    socket.send_fds(server, [len(message).to_bytes(_LENGTH, "big")], [0, 1, 2])
    server.sendall(message)


def receive_task(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive a task and the client's standard streams; raises `ConnectionError` when the client has gone."""
    length, streams, _, _ = socket.recv_fds(client, _LENGTH, 3)
    with client.makefile("rb") as stream:
        message = stream.read(int.from_bytes(length, "big"))
    if len(length) < _LENGTH or not message:
        raise ConnectionError("the client left before it had sent its task")
    return json.loads(message), streams


def _outputs(arguments: list[str]) -> dict[str, str]:
    """Name and path of every artifact that the task has written.

    Metrics are metadata without a file. KFP's cache takes what has no file for lost, so they are given an empty one.
    """
    task = json.loads(arguments[arguments.index("--executor_input") + 1])
    paths = {}
    for name, found in task["outputs"].get("artifacts", {}).items():
        (artifact,) = found["artifacts"]
        paths[name] = artifact["uri"]
        if artifact["type"]["schemaTitle"] in _METADATA_ONLY:
            Path(artifact["uri"]).touch()
    return paths


def _die_with_reader(client: socket.socket | None) -> None:
    gone = select.poll()
    gone.register(sys.stdout.fileno(), 0)  # a pipe is in error when its reader has gone
    if client is not None:
        gone.register(client, select.POLLIN)
    gone.poll()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
