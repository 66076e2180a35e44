"""How much of the possible training speed is reached: films per second of several ways to train one network.

    python bench/training_rate.py [--architecture densenet121] [--size 96] [--batch 32] [--rounds 5] [--steps 6]
    python bench/training_rate.py --compiler inductor
    python bench/training_rate.py --size 224 --batch 128 --steps 50 --compiler inductor        # on a GPU

`ready tensors` trains on one random batch that is already there: no feed can be faster. `cxr` is what `cxr train` does:
uint8 films in one array, augmented as batched tensors on the device. With `--compiler` both once more, compiled by it.
`PIL + DataLoader` is the usual way: PNG files, torchvision transforms of the same kinds in a worker process per core.
They take turns in one run; medians are compared, each with the ready tensors of its own step. Arithmetic is told as a
share of what one large matrix product of the same precision reaches on the same device in the same run.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from cxr.contracts.recipe import Augmentation, Compiler, ModelRecipe, Preprocessing, Recipe, Schedule
from cxr.contracts.studies import IMAGES_FOLDER, StudyIndex
from cxr.domain import TAXONOMY
from cxr.imaging.augment import augment
from cxr.imaging.phantom import write_phantoms
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.distributed import Processes
from cxr.modeling.fit import TrainingRun, has_fast_bfloat16
from cxr.modeling.inference import choose_device
from cxr.modeling.network import build_network
from cxr.modeling.resident import ResidentFilms
from cxr.steps.ingest import ingest

READY, USUAL = "ready tensors", "PIL + DataLoader"
_AHEAD = 2
"""Batches that a worker of a DataLoader makes before they are asked for."""

Batches = Iterator[tuple[Tensor, Tensor]]
Step = Callable[[Tensor, Tensor], object]


class PngFilms(Dataset[tuple[Tensor, int]]):
    """Decodes a PNG and transforms it for every film of every epoch."""

    def __init__(self, studies: Path, films: FilmArray, size: int, recipe: Augmentation) -> None:
        self.paths = [studies / IMAGES_FOLDER / f"{name}.png" for name in films.index.films["image_id"]]
        self.labels = films.labels
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomAffine(
                    recipe.rotation,
                    translate=(recipe.translation, recipe.translation),
                    scale=(1 - recipe.scale, 1 + recipe.scale),
                    interpolation=transforms.InterpolationMode.BILINEAR,
                ),
                transforms.ColorJitter(brightness=recipe.brightness, contrast=recipe.contrast),
                transforms.GaussianBlur(7, sigma=(0.05, max(0.06, recipe.blur * size / 224))),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(Image.open(self.paths[row])), int(self.labels[row])


def ready(batch: int, size: int, device: torch.device) -> Batches:
    """The same random batch for ever."""
    films, labels = torch.rand(batch, 1, size, size, device=device), torch.arange(batch, device=device) % 3
    return cycle([(films, labels)])


def ours(films: FilmArray, batch: int, recipe: Recipe, device: torch.device) -> Batches:
    """What `TrainingRun` feeds its steps with."""
    resident, generator = ResidentFilms(films, device, recipe), torch.Generator(device).manual_seed(0)
    rng = np.random.default_rng(0)
    while True:
        for rows in torch.from_numpy(rng.integers(0, len(films), (100, batch))).to(device):
            films_, labels = resident.batch(rows)
            yield augment(films_, recipe.augmentation, generator), labels


def usual(dataset: PngFilms, batch: int, workers: int, device: torch.device) -> Batches:
    """PIL in worker processes, films in a new order without an end."""
    endless = RandomSampler(dataset, replacement=True, num_samples=2**31)
    pinned = device.type == "cuda"
    for films, labels in DataLoader(dataset, batch, sampler=endless, num_workers=workers, pin_memory=pinned):
        yield films.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)


def rate(step: Step, batches: Batches, steps: int, batch: int, device: torch.device, *, ahead: int = 0) -> float:
    """Films per second over `steps` steps, after `ahead` batches that were made while others took their turn."""
    for _ in islice(batches, ahead):
        pass
    wait_for(device)
    start = time.perf_counter()
    for films, labels in islice(batches, steps):
        step(films, labels)
    wait_for(device)
    return steps * batch / (time.perf_counter() - start)


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def operations(step: Step, batches: Batches, batch: int) -> float:
    """Floating-point operations of a training step per film, forward and back, convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        step(*next(batches))
    return counter.get_total_flops() / batch


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations per second of a large matrix product, in the precision that training computes in."""
    side = 8192 if device.type == "cuda" else 2048
    kind = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    left = torch.randn(side, side, device=device, dtype=kind)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        left @ left
        wait_for(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[2:])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="densenet121")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of the DataLoader")
    parser.add_argument("--frame", type=int, default=0, help="model.lung_frame, pixels")
    parser.add_argument("--compiler", choices=get_args(Compiler), default="none")
    given = parser.parse_args()
    device = choose_device(None)
    recipe = Recipe(
        model=ModelRecipe(architecture=given.architecture, weights="none", lung_frame=given.frame),
        preprocessing=Preprocessing(size=given.size),
        schedule=Schedule(batch_size=given.batch),
    )
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        phantoms = write_phantoms(out=Path(folder) / "phantoms", films=4 * given.batch)
        ingest(data=str(phantoms), out=studies, recipe=recipe)
        films = load_films(studies, StudyIndex.read(studies), recipe.preprocessing)
        plain = training_step(recipe, len(films), device)
        png = PngFilms(studies, films, given.size, recipe.augmentation)
        ways: dict[str, tuple[Step, Batches]] = {
            READY: (plain, ready(given.batch, given.size, device)),
            "cxr": (plain, ours(films, given.batch, recipe, device)),
            USUAL: (plain, usual(png, given.batch, given.workers, device)),
        }
        ceilings = dict.fromkeys(ways, READY)
        if given.compiler != "none":
            schedule = msgspec.structs.replace(recipe.schedule, compiler=given.compiler)
            faster = training_step(msgspec.structs.replace(recipe, schedule=schedule), len(films), device)
            ceiling = f"{READY}, {given.compiler}"
            compiled = {
                ceiling: (faster, ready(given.batch, given.size, device)),
                f"cxr, {given.compiler}": (faster, ours(films, given.batch, recipe, device)),
            }
            ways |= compiled
            ceilings |= dict.fromkeys(compiled, ceiling)
        work = operations(*ways[READY], given.batch)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(given.rounds + 1):
            for name, (step, batches) in ways.items():
                ahead = _AHEAD * given.workers if name == USUAL else 0
                measured = rate(step, batches, given.steps, given.batch, device, ahead=ahead)
                if turn:
                    rates[name].append(measured)
    medians, most = {name: statistics.median(values) for name, values in rates.items()}, matrix_rate(device)
    print(f"{given.architecture}, {given.size} px, batch {given.batch}, {device.type}, median of {given.rounds} rounds")
    print(f"{work / 1e9:.2f} GFLOP a film in training; a matrix product reaches {most / 1e12:.3g} TFLOP/s")
    for name, median in medians.items():
        share, arithmetic = median / medians[ceilings[name]], median * work / most
        print(f"{name:24} {median:8.1f} films/s  {share:6.1%} of ready tensors  {arithmetic:6.1%} of a matrix product")


def training_step(recipe: Recipe, films: int, device: torch.device) -> Step:
    """An optimiser step of a new network."""
    network = build_network(recipe.model, recipe.preprocessing, len(TAXONOMY)).to(device)
    run = TrainingRun(recipe, network.to(memory_format=torch.channels_last), device, Processes(), films, "random")
    network.train()
    weights = torch.ones(len(TAXONOMY), device=device)
    return lambda batch, labels: run.train_step(batch, labels, weights)


if __name__ == "__main__":
    main()
