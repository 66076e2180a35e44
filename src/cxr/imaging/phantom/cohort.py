"""A whole data set of phantoms: patients with one to three films each, written as a folder that ingestion reads."""

import csv
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from cxr.contracts.files import new_folder
from cxr.domain import TAXONOMY
from cxr.errors import SourceError
from cxr.imaging.phantom.film import Phantom, draw_film, random_patient
from cxr.imaging.phantom.scanner import SCANNERS
from cxr.progress import progress

Row = dict[str, str]

INDEX_FILE = "index.csv"
MASKS_FOLDER = "masks"
COLUMNS = ("path", "label", "patient_id", "study_id", "source", "view", "sex", "age", "mask")
SHARES = {"Normal": 0.4, "Pneumonia": 0.3, "Tuberculosis": 0.3}
"""Share of films by finding."""

_SMALLEST_SIDE = 64
_PATIENTS_PER_TASK = 8
_WORTH_A_WORKER = 64
_LARGE_BLOCK = 16 * 2**20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedPatient:
    """What is decided of a patient before anything is drawn; `scanner` is a position in `SCANNERS`."""

    number: int
    finding: str
    films: int
    scanner: int


_Task = Sequence[PlannedPatient]


def write_phantoms(
    *, out: Path, films: int, seed: int = 42, side: int = 256, scanner_tie: float = 0.0, workers: int | None = None
) -> Path:
    """Draw a data set of phantom radiographs.

    The folder holds `index.csv` (paths relative to it), `<label>/<name>.png` (8-bit grey) and, for films with lesions,
    `masks/<name>.png` (0 or 255). The same arguments give the same bytes, whatever the number of workers.

    Args:
        out: folder to write, whole or not at all.
        films: how many, at least 1; by class as in `SHARES`.
        seed: of every random choice.
        side: of the square films, pixels, at least 64.
        scanner_tie: probability that a patient's scanner follows from the class instead of chance, 0..1.
        workers: processes; None for one per core where the number of films is worth it.

    Returns:
        `out`.

    Raises:
        SourceError: an argument is out of its range.
    """
    if films < 1 or side < _SMALLEST_SIDE or not 0 <= scanner_tie <= 1:
        raise SourceError(
            f"phantoms need films >= 1, side >= {_SMALLEST_SIDE} and scanner_tie in 0..1; "
            f"received films={films}, side={side}, scanner_tie={scanner_tie}"
        )
    patients = plan_cohort(films=films, seed=seed, scanner_tie=scanner_tie)
    workers = workers or min(os.cpu_count() or 1, 1 + films // _WORTH_A_WORKER)
    tasks = [patients[i : i + _PATIENTS_PER_TASK] for i in range(0, len(patients), _PATIENTS_PER_TASK)]
    with new_folder(out) as draft:
        for folder in (*TAXONOMY, MASKS_FOLDER):
            (draft / folder).mkdir()
        draw = partial(_write_patients, folder=draft, seed=seed, side=side)
        rows: list[Row] = []
        with progress("drawing phantoms", films) as advance:
            for drawn in _mapped(draw, tasks, workers=workers):
                rows += drawn
                advance(len(drawn))
        _write_index(draft / INDEX_FILE, rows)
    _log.info("phantoms drawn", extra={"films": films, "patients": len(patients), "seed": seed})
    return out


def plan_cohort(*, films: int, seed: int, scanner_tie: float) -> list[PlannedPatient]:
    """Decide every patient's finding, number of films and scanner."""
    rng = np.random.default_rng([seed, 1])
    drawn = dict.fromkeys(SHARES, 0)
    patients: list[PlannedPatient] = []
    while (left := films - sum(drawn.values())) > 0:
        finding = min(SHARES, key=lambda name: drawn[name] / SHARES[name])
        count = min(left, int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])))
        tied, chance = rng.random() < scanner_tie, int(rng.integers(len(SCANNERS)))
        scanner = TAXONOMY.index(finding) if tied else chance
        patients.append(PlannedPatient(len(patients), finding, count, scanner))
        drawn[finding] += count
    return patients


def draw_patient(plan: PlannedPatient, *, seed: int, side: int) -> Iterator[Phantom]:
    """Draw every film of a planned patient."""
    rng = np.random.default_rng([seed, 2, plan.number])
    patient = random_patient(rng, plan.finding)
    for _ in range(plan.films):
        yield draw_film(patient, SCANNERS[plan.scanner], rng=rng, side=side)


def _mapped(draw: Callable[[_Task], list[Row]], tasks: Sequence[_Task], *, workers: int) -> Iterator[list[Row]]:
    """Results of the tasks in their order, whoever finishes first."""
    if workers == 1:
        _keep_freed_memory()
        yield from map(draw, tasks)
        return
    # Spawned, not forked: the caller may hold threads of torch, which a fork would freeze.
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_keep_freed_memory
    ) as pool:
        yield from pool.map(draw, tasks)


def _keep_freed_memory() -> None:
    """Free one large block, from which glibc's allocator learns to hand nothing smaller back to the system.

    A film's many fields of some 300 kB would otherwise be mapped and unmapped each time: a fifth of the run time.
    """
    np.empty(_LARGE_BLOCK, np.uint8)


def _write_index(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_patients(plans: _Task, *, folder: Path, seed: int, side: int) -> list[Row]:
    return [
        _write_film(phantom, patient=f"p{plan.number:05d}", number=number, folder=folder)
        for plan in plans
        for number, phantom in enumerate(draw_patient(plan, seed=seed, side=side))
    ]


def _write_film(phantom: Phantom, *, patient: str, number: int, folder: Path) -> Row:
    name = f"{patient}_{number}.png"
    film, mask = f"{phantom.finding}/{name}", ""
    Image.fromarray(phantom.film).save(folder / film, compress_level=1)
    if phantom.mask.any():
        mask = f"{MASKS_FOLDER}/{name}"
        Image.fromarray(phantom.mask.astype(np.uint8) * np.uint8(255)).save(folder / mask, compress_level=1)
    return {
        "path": film,
        "label": phantom.finding,
        "patient_id": patient,
        "study_id": f"{patient}s{number // 2}",
        "source": phantom.source,
        "view": str(phantom.view),
        "sex": str(phantom.sex),
        "age": f"{phantom.age:g}",
        "mask": mask,
    }
