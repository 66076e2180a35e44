"""A pipeline on this machine, under KFP's own local runner, in this virtual environment."""

import fcntl
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from kfp import components as kfp_components
from kfp import local
from kfp.dsl.graph_component import GraphComponent

from cxr.errors import PipelineError
from cxr.progress import VARIABLE
from pipelines.console import Console
from pipelines.spec import local_text
from pipelines.warm import warm_interpreter

ARTIFACTS = ".artifacts"
CACHE = ".cache"
LOG_FILE = "pipeline.log"


def run_locally(
    pipeline: GraphComponent, arguments: Mapping[str, Any], *, run: Path, code: str, cached: bool = True
) -> dict[str, Path]:
    """Run a pipeline and return the paths of its output artifacts, and of those of the steps that were executed.

    Every step's result is kept in `.artifacts/` beside the run's folder and found again through `.cache/` by any later
    run with the same inputs and code. A step that was killed has left no result and is executed again.

    Args:
        pipeline: to run.
        arguments: of the pipeline; paths must be absolute.
        run: folder of this run; its full log is `pipeline.log` there.
        code: digest of the code that the steps consist of; another digest finds nothing in the cache.
        cached: answer unchanged steps from the cache.

    Raises:
        PipelineError: a step failed; the message is the step's own. Or another run is going on beside this one.
    """
    run.mkdir(parents=True, exist_ok=True)
    root = run.absolute().parent
    with _alone(root), (run / LOG_FILE).open("a", encoding="utf-8") as log, Console(log) as console:
        with warm_interpreter(log) as warm, _environment(warm), _log_of_kfp(console):
            local.init(
                runner=local.SubprocessRunner(use_venv=False),
                pipeline_root=str(root / ARTIFACTS),
                workspace_root=f"{warm['TMPDIR']}/workspace",
                enable_caching=cached,
                cache_root=str(root / CACHE),
            )
            component = kfp_components.load_component_from_text(local_text(pipeline, code=code))
            try:
                task = component(**arguments)
            except RuntimeError as error:
                if console.failed is None:
                    raise
                killed = f"step {console.failed} was killed, most often because the machine ran out of memory"
                raise PipelineError(console.error or killed) from error
        outputs = console.outputs | {name: artifact.path for name, artifact in task.outputs.items()}
    return {name: Path(path) for name, path in outputs.items()}


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the lock of a folder of runs: they share artifacts, resume state and a tracking database."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PipelineError(
                f"only one pipeline at a time may run in {root}, another one is running; wait for it, or choose a "
                "--run-dir in another folder"
            ) from error
        yield


@contextmanager
def _environment(warm: Mapping[str, str]) -> Iterator[None]:
    """Variables that tasks inherit; unlike a task's own, they do not change the keys of the cache."""
    before = dict(os.environ)
    path = [str(Path(__file__).parents[1]), *filter(None, [before.get("PYTHONPATH")])]
    os.environ.update({**warm, "PYTHONPATH": os.pathsep.join(path)})
    if sys.stderr.isatty():
        os.environ[VARIABLE] = "records"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _log_of_kfp(console: Console) -> Iterator[None]:
    """Send what KFP prints and what it logs, through the root logger, to the console."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = logging.StreamHandler(console)
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d - %(levelname)s - %(message)s", "%H:%M:%S"))
    root.handlers, root.level = [handler], logging.INFO
    try:
        with redirect_stdout(console), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers, root.level = handlers, level
