"""What a bundle's gate says of real files, by kind, and what it costs.

    python bench/gate.py ../shared/data [--bundle runs/last/bundle] [--run runs/last]

DATA holds `not-chest-xray/KIND/FILES`, `dicom/KIND/FILES` or either. With `--run` the test films of that run follow, as
they are and turned, upside down, cut, negative: what must pass and what must not, from films that the gate was neither
fitted on nor had its limits chosen on.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import binomtest

from cxr.contracts.bundle import read_bundle
from cxr.contracts.prediction import FilmRefusal
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import RejectedFilm
from cxr.imaging.polarity import is_negative, negated
from cxr.imaging.preprocess import network_input
from cxr.modeling.dataset import read_stored
from cxr.steps.predict import Interpreter, Reader

FOLDERS = ("not-chest-xray", "dicom")


def main() -> None:
    """Print the table of verdicts, then the time of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, default=Path("runs/last/bundle"))
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    print(f"{'kind':43} {'files':>5} {'refused':>7} {'referred':>8} {'passed':>6}  codes")
    reader = Reader(options.bundle)
    for folder in FOLDERS:
        for kind in sorted(path for path in (options.data / folder).glob("*") if path.is_dir()):
            print_row(f"{folder}/{kind.name}", [verdict(reader, file) for file in sorted(kind.glob("*.*"))])
    if options.run:
        bundle = read_bundle(options.bundle)
        measure_films(Interpreter.read(bundle.folder, manifest=bundle.manifest, digest=bundle.digest), options.run)


def verdict(reader: Reader, file: Path) -> str:
    """The code of a refusal, "referred", or "passed"."""
    answer = reader.read(file, name=file.name)
    if isinstance(answer, FilmRefusal):
        return answer.code
    return "referred" if "out_of_distribution" in answer.referred else "passed"


def measure_films(interpreter: Interpreter, run: Path) -> None:
    """Rows for a run's test films, as they are and made wrong, and the time that the gate takes of each."""
    names = StudyIndex.read(run / "split").part(Split.TEST).films["image_id"]
    films = [read_stored(run / "studies", name) for name in names]
    refused = print_row("test films", [gated(interpreter, film) for film in films])
    interval = binomtest(refused, len(films)).proportion_ci()
    changes = {
        "turned by 90 degrees": lambda film: np.rot90(film),
        "turned by 180 degrees": lambda film: np.rot90(film, 2),
        "turned by 270 degrees": lambda film: np.rot90(film, 3),
        "turned by 90 degrees, mirrored": lambda film: np.rot90(film[:, ::-1]),
        "mirrored top to bottom": lambda film: film[::-1],
        "mirrored left to right": lambda film: film[:, ::-1],
        "turned by 10 degrees": lambda film: askew(film, 10),
        "turned by 30 degrees": lambda film: askew(film, 30),
        "turned by 45 degrees": lambda film: askew(film, 45),
        "upper left quarter": lambda film: film[: film.shape[0] // 2, : film.shape[1] // 2],
        "lower third": lambda film: film[-(film.shape[0] // 3) :],
        "left half": lambda film: film[:, : film.shape[1] // 2],
        "middle": lambda film: np.array_split(np.array_split(film, 3)[1], 3, axis=1)[1],
        "a tenth of the contrast": lambda film: (film // 10 + 110).astype(np.uint8),
        "nearly blank": lambda film: np.random.default_rng(0).integers(118, 122, film.shape).astype(np.uint8),
        "negative": lambda film: 255 - film,
    }  # fmt: skip
    for name, change in changes.items():
        print_row(f"test films, {name}", [gated(interpreter, np.ascontiguousarray(change(film))) for film in films])
    print(f"\ntest films refused: {refused / len(films):.2%}, 95% interval {interval.low:.2%} to {interval.high:.2%}")
    prepared = [network_input(film, interpreter.manifest.preprocessing) for film in films]
    start = time.perf_counter()
    for film in prepared:
        with suppress(RejectedFilm):
            interpreter.gate.check(film)
    print(f"time of a verdict: {1e3 * (time.perf_counter() - start) / len(prepared):.2f} ms per film")


def gated(interpreter: Interpreter, film: np.ndarray) -> str:
    """The gate's verdict on a picture, mended as a reader does; the network is not asked."""
    try:
        prepared = interpreter.before(negated(film) if is_negative(film) else film)
    except RejectedFilm as rejected:
        return rejected.code
    return "referred" if prepared.unsure else "passed"


def askew(film: np.ndarray, degrees: float) -> np.ndarray:
    """Turned, on a dark sheet."""
    return np.asarray(Image.fromarray(film).rotate(degrees, Image.Resampling.BILINEAR, expand=True))


def print_row(kind: str, verdicts: Iterable[str]) -> int:
    """One line of the table; returns how many were refused."""
    counts = Counter(verdicts)
    total, referred, passed = counts.total(), counts.pop("referred", 0), counts.pop("passed", 0)
    codes = ", ".join(f"{code} {count}" for code, count in counts.most_common())
    print(f"{kind:43} {total:5} {total - referred - passed:7} {referred:8} {passed:6}  {codes}")
    return total - referred - passed


if __name__ == "__main__":
    main()
