"""A pipeline of three small steps for tests of the local runner: numbers → double → total."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def numbers(count: int, numbers: Output[Dataset]) -> None:
    """Write `count` numbers."""
    from pathlib import Path

    from cxr.contracts.files import new_folder, write_bytes

    with new_folder(Path(numbers.path)) as draft:
        write_bytes(draft / "numbers.txt", "\n".join(map(str, range(count))).encode())


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def double(numbers: Input[Dataset], mode: str, doubled: Output[Dataset], metrics: Output[Metrics]) -> None:
    """Double them, or do what `mode` says: refuse, break, get killed, name
    its parent, or wait until killed and then not again."""
    import os
    import signal
    import time
    from pathlib import Path

    from cxr.contracts.files import new_folder, write_bytes
    from cxr.errors import TrainingError
    from cxr.progress import progress

    with new_folder(Path(doubled.path)) as draft:
        lines = (Path(numbers.path) / "numbers.txt").read_text().split()
        metrics.log_metric("lines", len(lines))
        with progress("doubling", len(lines)) as advance:
            for line in lines:
                write_bytes(draft / line, str(2 * int(line)).encode())
                time.sleep(0.015)
                advance(1)
        if mode == "refuse":
            raise TrainingError("numbers must be even,\n  are odd; choose others")
        if mode == "break":
            raise KeyError("no such number")
        if mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode.startswith("parent "):
            command = Path(f"/proc/{os.getppid()}/cmdline").read_text().replace("\0", " ")
            write_bytes(Path(mode.removeprefix("parent ")), f"{os.getppid()} {command}".encode())
        if mode.startswith("wait ") and not Path(mode.removeprefix("wait ")).exists():
            write_bytes(Path(mode.removeprefix("wait ")), str(os.getpid()).encode())
            time.sleep(600)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def total(doubled: Input[Dataset], total: Output[Dataset]) -> None:
    """Add them up."""
    from pathlib import Path

    from cxr.contracts.files import new_folder, write_bytes

    with new_folder(Path(total.path)) as draft:
        write_bytes(draft / "total.txt", str(sum(int(p.read_text()) for p in Path(doubled.path).iterdir())).encode())


@dsl.pipeline(name="toy")
def toy(count: int, mode: str = "") -> Dataset:
    """Three steps, of which one is never answered from the cache."""
    first = numbers(count=count)
    second = double(numbers=first.outputs["numbers"], mode=mode).set_retry(3, "30s").set_cpu_limit("2")
    return total(doubled=second.outputs["doubled"]).set_caching_options(enable_caching=False).outputs["total"]
