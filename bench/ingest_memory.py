"""Peak memory of ingestion against the number of films.

    python bench/ingest_memory.py [--films 500] [--times 4]

Ingests phantoms of 1,000 x 1,000 pixels, first so many and then several times as many, each in a process of its own
with two workers, and samples the resident memory of the process and its workers (the sum of what each has for itself).
Prints both peaks and their ratio. Films are drawn once and varied by noise, since drawing is not what is measured.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from cxr.contracts.recipe import Recipe

WORKERS = 2
SIDE = 1000
SECONDS_BETWEEN_SAMPLES = 0.05


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, default=500)
    parser.add_argument("--times", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_films(Path(folder), options.films * options.times)
        peaks = []
        for films in (options.films, options.films * options.times):
            peak, seconds = measure(Path(folder), films)
            peaks.append(peak)
            print(f"{films:7,} films  {peak / 2**20:7.1f} MiB  {films / seconds:6.1f} films/s")
    print(f"ratio    {peaks[1] / peaks[0]:7.3f}")


def write_films(folder: Path, films: int) -> None:
    """One film with other noise each time, as JPEG, and an index of each size."""
    from cxr.imaging.phantom import draw_phantom

    drawn = draw_phantom(finding="Normal", seed=1, side=SIDE // 4).film
    film = np.asarray(Image.fromarray(drawn).resize((SIDE, SIDE)), np.float32)
    rng = np.random.default_rng(0)
    for number in range(films):
        coarse = rng.normal(0, 40, (12, 12)).astype(np.float32)
        noise = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        Image.fromarray(np.clip(film + noise, 0, 255).astype(np.uint8)).save(folder / f"{number:06d}.jpg", quality=90)


def measure(folder: Path, films: int) -> tuple[int, float]:
    """Peak bytes of one ingestion with its workers, and its seconds."""
    index = folder / f"first-{films}.csv"
    index.write_text("path\n" + "".join(f"{number:06d}.jpg\n" for number in range(films)))
    process = multiprocessing.get_context("spawn").Process(target=ingest_films, args=(index, folder / f"out-{films}"))
    started = time.monotonic()
    process.start()
    peak = 0
    while process.is_alive():
        peak = max(peak, sum(map(own_memory, family(process.pid))))
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    process.join()
    assert process.exitcode == 0, "ingestion failed"
    return peak, time.monotonic() - started


def ingest_films(index: Path, out: Path) -> None:
    """What is measured."""
    from cxr.steps.ingest import ingest

    ingest(data=str(index), out=out, recipe=Recipe(), workers=WORKERS)


def family(process: int | None) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children")
    try:
        return [int(process or 0), *(int(child) for child in children.read_text().split())]
    except OSError:
        return []


def own_memory(process: int) -> int:
    """Resident bytes, with pages that processes share counted in parts (PSS)."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


if __name__ == "__main__":
    main()
