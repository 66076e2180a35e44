"""Latency of a prediction while the drift sidecar runs, hangs (stopped), and is dead: medians taken in one process.

python bench/sidecar_hangs.py --bundle DIR [--count 100] [--drift-python .venv-drift/bin/python]
"""

import argparse
import signal
import ssl
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from serving import drawn_film, free_port

from cxr.serving.local import prepare, running


def median(client: httpx.Client, film: bytes, count: int) -> float:
    """Milliseconds of a lone request."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        client.post("/predict", content=film).raise_for_status()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def main() -> None:
    """Parse, start, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("runs/last/bundle"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--drift-python", type=Path, default=Path(".venv-drift/bin/python"))
    given = parser.parse_args()
    film = drawn_film()
    ports = {name: free_port() for name in ("http_port", "grpc_port", "drift_port")}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        prepare(state)
        with running(bundle=given.bundle.resolve(), state=state, drift_python=given.drift_python, **ports) as (
            local,
            processes,
        ):
            context = ssl.create_default_context(cafile=str(local.authority))
            headers = {"X-API-Key": local.key.read_text().strip()}
            with httpx.Client(base_url=local.rest, verify=context, headers=headers, timeout=60) as client:
                median(client, film, 20)
                base = median(client, film, given.count)
                print(f"sidecar runs   {base:6.1f} ms")
                for name, number in (("hangs", signal.SIGSTOP), ("is dead", signal.SIGKILL)):
                    processes[0].send_signal(number)
                    time.sleep(1)
                    took = median(client, film, given.count)
                    print(f"sidecar {name:8}{took:6.1f} ms   {took / base:.2f} x")


if __name__ == "__main__":
    main()
