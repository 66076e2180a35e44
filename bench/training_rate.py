"""How much of the possible training speed the data path leaves: films per second of three ways to feed one network.

    python bench/training_rate.py [--architecture densenet121] [--size 96] [--batch 32] [--rounds 5]

`ready tensors` trains on one random batch that is already there: nothing can be faster. `cxr` is what `cxr train` does:
uint8 films in one array, augmented as batched tensors on the device. `PIL + DataLoader` is the usual way: PNG files,
torchvision transforms of the same kinds in worker processes. The three take turns in one run; medians are compared.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cxr.contracts.recipe import Augmentation, ModelRecipe, Preprocessing, Recipe, Schedule
from cxr.contracts.studies import IMAGES_FOLDER, StudyIndex
from cxr.domain import TAXONOMY
from cxr.imaging.augment import augment
from cxr.imaging.phantom import write_phantoms
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.distributed import Processes
from cxr.modeling.fit import TrainingRun
from cxr.modeling.inference import choose_device
from cxr.modeling.network import build_network
from cxr.modeling.resident import ResidentFilms
from cxr.steps.ingest import ingest

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
        films_, labels = resident.batch(rng.integers(0, len(films), batch))
        yield augment(films_, recipe.augmentation, generator), labels


def usual(dataset: PngFilms, batch: int, device: torch.device) -> Batches:
    """PIL in two worker processes."""
    loader = DataLoader(dataset, batch, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)
    while True:
        for films, labels in loader:
            yield films.to(device), labels.to(device)


def rate(
    step: Callable[[Tensor, Tensor], object], batches: Batches, steps: int, batch: int, device: torch.device
) -> float:
    """Films per second over `steps` steps."""
    start = time.perf_counter()
    for films, labels in islice(batches, steps):
        step(films, labels)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * batch / (time.perf_counter() - start)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="densenet121")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
    device = choose_device(None)
    recipe = Recipe(
        model=ModelRecipe(architecture=given.architecture, weights="none"),
        preprocessing=Preprocessing(size=given.size),
        schedule=Schedule(batch_size=given.batch),
    )
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        phantoms = write_phantoms(out=Path(folder) / "phantoms", films=4 * given.batch)
        ingest(data=str(phantoms), out=studies, recipe=recipe)
        films = load_films(studies, StudyIndex.read(studies), recipe.preprocessing)
        network = build_network(recipe.model, recipe.preprocessing, len(TAXONOMY)).to(device)
        run = TrainingRun(
            recipe, network.to(memory_format=torch.channels_last), device, Processes(), len(films), "random"
        )
        network.train()
        weights = torch.ones(len(TAXONOMY), device=device)
        feeds = {
            "ready tensors": ready(given.batch, given.size, device),
            "cxr": ours(films, given.batch, recipe, device),
            "PIL + DataLoader": usual(PngFilms(studies, films, given.size, recipe.augmentation), given.batch, device),
        }
        rates: dict[str, list[float]] = {name: [] for name in feeds}
        for turn in range(given.rounds + 1):
            for name, batches in feeds.items():
                measured = rate(lambda f, y: run.train_step(f, y, weights), batches, given.steps, given.batch, device)
                if turn:
                    rates[name].append(measured)
    best = statistics.median(rates["ready tensors"])
    print(f"{given.architecture}, {given.size} px, batch {given.batch}, {device.type}, median of {given.rounds} rounds")
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:18} {median:8.1f} films/s   {median / best:6.1%} of ready tensors")


if __name__ == "__main__":
    main()
