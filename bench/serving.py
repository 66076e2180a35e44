"""The service against its ancestor's design and a plain KServe model: one run, same cores, same weights, same film.

    python bench/serving.py --bundle DIR [--side 224] [--film FILE] [--seconds 10] [--rounds 5]

All speak plain HTTP on the loopback interface. The service does everything that it does for a hospital: keys, limits,
refusals, audit trail. Rounds are interleaved and medians are given, since the machine is shared.
"""

import argparse
import asyncio
import base64
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
from PIL import Image
from safetensors.torch import load_file

from cxr.contracts.bundle import BUNDLE_FILE, MODEL_FILE, BundleManifest, read_bundle
from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.contracts.recipe import Recipe
from cxr.imaging.read import read_film
from cxr.modeling.export import export_onnx
from cxr.modeling.network import build_network
from cxr.serving.engine import open_backend
from cxr.serving.security.keys import Scope, create_key
from cxr.steps.predict import Interpreter

ROOT = Path(__file__).parents[1]
CONCURRENCY = 32


@dataclass
class Server:
    """A server under test and what was measured on it."""

    name: str
    url: str
    headers: dict[str, str]
    v2: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    ready_after: float = 0.0
    single: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    errors: int = 0
    with_map: list[float] = field(default_factory=list)
    without_map: list[float] = field(default_factory=list)

    async def ask(self, session: aiohttp.ClientSession, film: bytes, outputs: tuple[str, ...] = ()) -> None:
        """One request; raises when it is not answered with 200."""
        if self.v2 or outputs:
            body = {
                "inputs": [
                    {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(film).decode()]}
                ]
            }
            if outputs:
                body["outputs"] = [{"name": name} for name in outputs]  # type: ignore[assignment]
                body["parameters"] = {"binary_data_output": True}  # type: ignore[assignment]
            call = session.post(
                f"{self.url}/v2/models/cxr/infer",
                data=json.dumps(body),
                headers={**self.headers, "Content-Type": "application/json"},
            )
        else:
            form = aiohttp.FormData()
            form.add_field("file", film, filename="film.jpg", content_type="image/jpeg")
            call = session.post(f"{self.url}/predict", data=form, headers=self.headers)
        async with call as response:
            await response.read()
            if response.status != 200:
                raise RuntimeError(f"{self.name}: {response.status}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(server: Server, command: list[str]) -> Iterator[Server]:
    """Start a server, time it until it is ready, and end it."""
    import urllib.error
    import urllib.request

    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        while True:
            assert process.poll() is None, f"{server.name} ended"
            try:
                urllib.request.urlopen(f"{server.url}/v2/health/ready", timeout=1)  # noqa: S310 - our own address
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.01)
        server.ready_after, server.process = time.perf_counter() - started, process
        yield server
    finally:
        process.terminate()
        process.wait(60)


def servers(stack: ExitStack, bundle: Path, state: Path) -> list[Server]:
    """The service and what it is compared with."""
    key = create_key(state / "keys.json", scopes=(Scope.PREDICT,), rate_per_minute=1_000_000)
    port, grpc_port = free_port(), free_port()
    ours = [sys.executable, "-m", "cxr.serving", "--bundle", str(bundle), "--state", str(state), "--host",
            "127.0.0.1", "--http-port", str(port), "--grpc-port", str(grpc_port), "--keys", str(state / "keys.json"),
            "--behind-proxy"]  # fmt: skip
    found = [stack.enter_context(running(Server("cxr", f"http://127.0.0.1:{port}", {"X-API-Key": key}), ours))]
    for design, v2 in (("fastapi", False), ("kserve", True)):
        port = free_port()
        command = [sys.executable, "bench/ancestor.py", design, "--bundle", str(bundle), "--port", str(port)]
        server = Server({"fastapi": "ancestor's design", "kserve": "plain KServe"}[design],
                        f"http://127.0.0.1:{port}", {}, v2)  # fmt: skip
        found.append(stack.enter_context(running(server, command)))
    return found


async def one_by_one(server: Server, film: bytes, count: int) -> None:
    """Latency of lone requests."""
    async with aiohttp.ClientSession() as session:
        for position in range(count + 5):
            started = time.perf_counter()
            await server.ask(session, film)
            if position >= 5:
                server.single.append(time.perf_counter() - started)


async def maps(server: Server, film: bytes, count: int) -> None:
    """Latency with and without the activation map, in turns."""
    plain = ("probabilities", "decision", "confidence", "referred", "out_of_distribution_score")
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            for outputs, times in ((plain, server.without_map), ((*plain, "activation_map"), server.with_map)):
                started = time.perf_counter()
                await server.ask(session, film, outputs)
                times.append(time.perf_counter() - started)


async def together(server: Server, film: bytes, seconds: float) -> None:
    """Rate and p99 at a fixed concurrency."""
    times: list[float] = []
    deadline = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < deadline:
            started = time.perf_counter()
            try:
                await server.ask(session, film)
            except (RuntimeError, aiohttp.ClientError):
                server.errors += 1
            times.append(time.perf_counter() - started)

    connector = aiohttp.TCPConnector(limit=0)
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(CONCURRENCY)))
    server.rates.append(len(times) / (time.perf_counter() - began))
    server.p99.append(float(np.quantile(times, 0.99)))


def bare(bundle: Path, film: bytes, count: int) -> list[float]:
    """Decoding, preprocessing and the forward pass of the same backend, in this process, without a service."""
    opened = read_bundle(bundle)
    interpreter = Interpreter.read(bundle, manifest=opened.manifest, digest=opened.digest)
    backend = open_backend("auto", opened, threads=None)
    times = []
    for position in range(count + 10):
        started = time.perf_counter()
        prepared = interpreter.before(read_film(film).pixels)
        backend.infer(prepared.film[None], maps=True)
        if position >= 10:
            times.append(time.perf_counter() - started)
    backend.close()
    return times


def memory(process: "subprocess.Popen[bytes]") -> float:
    """Peak resident memory, MiB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def drawn_film() -> bytes:
    """A phantom of 1024 pixels, JPEG as the public sets have it."""
    from cxr.imaging.phantom.cohort import draw_patient, plan_cohort

    plan = plan_cohort(films=1, seed=7, scanner_tie=0.0)[0]
    buffer = io.BytesIO()
    Image.fromarray(next(iter(draw_patient(plan, seed=7, side=1024))).film).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def at_side(bundle: Path, side: int, folder: Path) -> Path:
    """The bundle with its weights in a network of another side and default stride: for its time, not its answers."""
    recipe = read_json(bundle / "reports" / RECIPE_FILE, Recipe)
    recipe = msgspec.structs.replace(
        recipe,
        model=msgspec.structs.replace(recipe.model, output_stride=Recipe().model.output_stride),
        preprocessing=msgspec.structs.replace(recipe.preprocessing, size=side, stored_side=max(side, 512)),
    )
    shutil.copytree(bundle, folder)
    manifest = read_json(folder / BUNDLE_FILE, BundleManifest)
    network = build_network(recipe.model, recipe.preprocessing, len(manifest.findings)).eval()
    network.load_state_dict(load_file(bundle / "weights.safetensors"))
    inputs, *outputs = export_onnx(network, folder / MODEL_FILE, side=side, metadata={})
    write_json(folder / "reports" / RECIPE_FILE, recipe)
    files = {name: file_digest(folder / name) for name in manifest.files}
    changed = {"preprocessing": recipe.preprocessing, "inputs": (inputs,), "outputs": tuple(outputs), "files": files}
    write_json(folder / BUNDLE_FILE, msgspec.structs.replace(manifest, **changed))
    return folder


def report(found: list[Server], alone: list[float]) -> None:
    """The table."""
    ours = found[0]
    print(
        f"{'':28}{'p50 alone':>12}{'ratio':>8}{'films/s':>10}{'ratio':>8}{'p99':>10}{'errors':>8}{'ready':>9}"
        f"{'memory':>10}"
    )
    base_single, base_rate = statistics.median(ours.single), statistics.median(ours.rates)
    for server in found:
        assert server.process is not None
        single, rate = statistics.median(server.single), statistics.median(server.rates)
        print(
            f"{server.name:28}{1000 * single:9.1f} ms{single / base_single:8.2f}{rate:10.1f}{base_rate / rate:8.2f}"
            f"{1000 * statistics.median(server.p99):7.0f} ms{server.errors:8d}{server.ready_after:7.1f} s"
            f"{memory(server.process):6.0f} MiB"
        )
    direct = statistics.median(alone)
    print(
        f"{'decode + forward, no service':28}{1000 * direct:9.1f} ms   "
        f"cxr takes {base_single / direct:.2f} x (at most 1.25)"
    )
    ratio = statistics.median(ours.with_map) / statistics.median(ours.without_map)
    print(
        f"{'with the activation map':28}{1000 * statistics.median(ours.with_map):9.1f} ms   "
        f"{ratio:.3f} x without (below 1.10)"
    )


def main() -> None:
    """Parse, start, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("runs/last/bundle"))
    parser.add_argument("--side", type=int, help="of the network's input, instead of the bundle's own")
    parser.add_argument("--film", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    film = drawn_film() if given.film is None else given.film.read_bytes()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bundle = given.bundle.resolve()
        if given.side is not None:
            bundle = at_side(bundle, given.side, Path(folder) / "bundle")
        manifest = read_bundle(bundle).manifest
        print(f"{manifest.architecture}, {manifest.preprocessing.size} px, film of {len(film) / 1024:.0f} KiB")
        found = servers(stack, bundle, Path(folder))
        alone: list[float] = []
        for _ in range(given.rounds):
            alone += bare(bundle, film, 20)
            for server in found:
                asyncio.run(one_by_one(server, film, 20))
            asyncio.run(maps(found[0], film, 20))
        for _ in range(max(1, given.rounds // 2)):
            for server in found:
                asyncio.run(together(server, film, given.seconds))
        report(found, alone)


if __name__ == "__main__":
    main()
