"""Fitting a network to films: seeded, resumable after a kill, on one process or several."""

import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cxr.contracts.checkpoint import Epoch, History
from cxr.contracts.files import write_bytes
from cxr.contracts.recipe import Recipe, Schedule
from cxr.domain import TAXONOMY
from cxr.errors import TrainingError
from cxr.imaging.augment import augment
from cxr.modeling.averaging import Average
from cxr.modeling.compiled import compiled
from cxr.modeling.dataset import FilmArray
from cxr.modeling.distributed import Processes
from cxr.modeling.inference import infer
from cxr.modeling.losses import recipe_loss
from cxr.modeling.network import Network, build_network
from cxr.modeling.pace import batches, learning_rate_factor
from cxr.modeling.refit import refit_head
from cxr.modeling.resident import ResidentFilms
from cxr.modeling.weights import initialise
from cxr.progress import progress

logger = logging.getLogger(__name__)

STATE_FILE = "training.pt"

Stop = Literal["schedule", "patience", "pruned"]

EpochWatcher = Callable[[Epoch], bool]
"""Told of every finished epoch; True stops the training ("pruned")."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The best epoch's network and how training went.

    Attributes:
        network: averaged weights, the head fitted again where the recipe says so, in evaluation mode.
    """

    network: Network
    history: History


def fit(
    *,
    recipe: Recipe,
    train: FilmArray,
    validation: FilmArray,
    device: torch.device,
    scratch: Path | None = None,
    weights: Path | None = None,
    on_epoch: EpochWatcher | None = None,
    processes: Processes | None = None,
    index: str = "",
) -> Fitted:
    """Train the recipe's network on labelled films.

    The same recipe, films and device kind give the same weights, bit for bit on a CPU; so does a run that was killed
    and started again with the same `scratch`.

    Args:
        recipe: what to train and how.
        train: films with labels; every class of the taxonomy must occur.
        validation: chooses the best epoch by macro AUROC.
        device: where to train; the films are kept there as uint8.
        scratch: after every epoch the state is saved there, and found by the next call.
        weights: file of initial weights, see `cxr.modeling.weights.initialise`.
        on_epoch: watches, and may stop.
        processes: this process's place; every process must call with the same arguments. The first one's network is
            the one to keep: it alone fits the head again.
        index: digest of the study index, for the history.

    Raises:
        TrainingError: labels are missing, a batch has no film for each process, or the loss stopped being finite.
    """
    _check(train, "training")
    _check(validation, "validation")
    processes = processes or Processes()
    _check_batch(recipe.schedule, processes)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.model, recipe.preprocessing, len(TAXONOMY))
    origin = initialise(network, recipe.model, weights)
    network = network.to(device).to(memory_format=torch.channels_last)
    run = TrainingRun(recipe, network, device, processes, len(train), origin)
    state = None if scratch is None else scratch / STATE_FILE
    if state is not None and state.exists():
        run.restore(state)
    data = ResidentFilms(train, device, recipe)
    stopped = run.stopped()
    while stopped is None:
        epoch = run.epoch(data, validation)
        pruned = on_epoch is not None and on_epoch(epoch)
        stopped = "pruned" if processes.share(float(pruned)) else run.stopped()
        if state is not None and processes.first:
            run.save(state)
        processes.wait()
    network.load_state_dict(run.best)
    refit = recipe.schedule.refit_head and processes.first
    seconds = refit_head(network, recipe, train) if refit else 0.0
    history = History(
        initial_weights=run.origin,
        best_epoch=run.best_epoch,
        stopped=stopped,
        index=index,
        device=device.type,
        finished=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        epochs=tuple(run.epochs),
        refit_seconds=round(seconds, 3),
    )
    return Fitted(network.eval(), history)


def _check(films: FilmArray, part: str) -> None:
    present = set(films.labels.tolist())
    missing = [name for position, name in enumerate(TAXONOMY) if position not in present]
    if missing or -1 in present:
        raise TrainingError(
            f"{part} films must all be labelled and every finding must occur, "
            f"{'some are unlabelled' if -1 in present else f'there is no film of {missing}'}; check the split"
        )


def _check_batch(schedule: Schedule, processes: Processes) -> None:
    """Every process trains on a part of each batch, which must hold a film."""
    if processes.world > schedule.batch_size:
        raise TrainingError(
            f"schedule.batch_size must be at least the number of processes that train together, is "
            f"{schedule.batch_size} for {processes.world} processes; raise it, or train on fewer GPUs or nodes"
        )


@dataclass
class TrainingRun:
    """All that changes while a network is trained: what `save` writes and `restore` reads.

    Attributes:
        network: trained in place, on `device`.
        films: number of training films, which with the schedule gives the number of steps.
        origin: what the network started from.
        best: state of the averaged network at `best_epoch`.
        step: optimiser steps done.
    """

    recipe: Recipe
    network: Network
    device: torch.device
    processes: Processes
    films: int
    origin: str
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        schedule = self.recipe.schedule
        per_epoch = math.ceil(self.films / schedule.batch_size)
        self.steps = per_epoch * schedule.epochs
        self.warmup = round(per_epoch * min(schedule.warmup_epochs, schedule.epochs / 2))
        self.optimiser = _optimiser(self.network, self.recipe)
        self.average = Average(self.network, schedule.ema_decay)
        self.parallel: nn.Module = self.network
        if self.processes.world > 1:
            devices = [self.device.index] if self.device.type == "cuda" else None
            self.parallel = DistributedDataParallel(self.network, device_ids=devices)
        self.passes = compiled(self.parallel, schedule.compiler, self.device)

    def stopped(self) -> Stop | None:
        """Why training is over, or None while it is not."""
        if len(self.epochs) >= self.recipe.schedule.epochs:
            return "schedule"
        if self.epochs and len(self.epochs) - self.best_epoch >= self.recipe.schedule.patience:
            return "patience"
        return None

    def epoch(self, data: ResidentFilms, validation: FilmArray) -> Epoch:
        """Train over all films once, then validate the averaged weights."""
        number = len(self.epochs) + 1
        start = time.perf_counter()
        loss = self._train(data, number)
        seconds = time.perf_counter() - start
        scores = self._validate(validation) if self.processes.first else (0.0, 0.0, 0.0)
        validation_loss, accuracy, auroc = (self.processes.share(score) for score in scores)
        epoch = Epoch(
            epoch=number,
            loss=loss,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            validation_macro_auroc=auroc,
            seconds=round(seconds, 3),
            films_per_second=round(self.films / seconds, 1),
        )
        self.epochs.append(epoch)
        if self._is_best(epoch):
            self.best_epoch = number
            self.best = {name: tensor.detach().clone() for name, tensor in self.average.network.state_dict().items()}
        logger.info("epoch %d/%d: loss %.4f, validation macro AUROC %.4f, accuracy %.3f, %.0f films/s", number,
                    self.recipe.schedule.epochs, loss, auroc, accuracy, epoch.films_per_second)  # fmt: skip
        return epoch

    def _is_best(self, epoch: Epoch) -> bool:
        if not self.best_epoch:
            return True
        best = self.epochs[self.best_epoch - 1]
        return (epoch.validation_macro_auroc, -epoch.validation_loss) > (
            best.validation_macro_auroc,
            -best.validation_loss,
        )

    def _train(self, data: ResidentFilms, number: int) -> float:
        self.parallel.train()
        seed = (self.recipe.seed * 1_000_003 + number * 1_009 + self.processes.rank) % 2**63
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        rows = batches(
            self.films,
            self.recipe.schedule,
            seed=self.recipe.seed,
            epoch=number,
            processes=self.processes,
            chances=data.chances,
        )
        total = torch.zeros((), device=self.device)
        title = f"epoch {number}/{self.recipe.schedule.epochs}"
        with progress(title, self.films) as advance:
            # All rows at once: a copy to a GPU in every step would make the host wait for the step before.
            for batch in torch.from_numpy(np.ascontiguousarray(rows)).to(self.device):
                films, labels = data.batch(batch)
                total += self.train_step(augment(films, self.recipe.augmentation, generator), labels, data.weights)
                advance(self.recipe.schedule.batch_size)
        mean = float(total) / len(rows)
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss must stay finite, is {mean} in epoch {number}; lower optimiser.learning_rate "
                f"(now {self.recipe.optimiser.learning_rate:g})"
            )
        return mean

    def train_step(self, films: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """One optimiser step on float32 [b, 1, S, S] in 0..1 and int64 [b]; returns the loss, still on the device."""
        factor = learning_rate_factor(self.step, steps=self.steps, warmup=self.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.optimiser.learning_rate * factor
        films = films.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            logits = self.passes(films).logits
        loss = recipe_loss(self.recipe.loss, logits, labels, weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip_norm)
        self.optimiser.step()
        self.step += 1
        self.average.update()
        return loss.detach()

    def _validate(self, validation: FilmArray) -> tuple[float, float, float]:
        from sklearn.metrics import roc_auc_score

        logits = torch.from_numpy(infer(self.average.network, validation.films, device=self.device).logits)
        if not logits.isfinite().all():
            raise TrainingError("logits must stay finite: training diverged; lower optimiser.learning_rate")
        labels = torch.from_numpy(validation.labels)
        loss = float(nn.functional.cross_entropy(logits, labels))
        accuracy = float((logits.argmax(1) == labels).float().mean())
        probabilities = logits.double().softmax(1).numpy()
        auroc = float(roc_auc_score(validation.labels, probabilities, multi_class="ovr", average="macro"))
        return loss, accuracy, auroc

    def save(self, path: Path) -> None:
        """Write everything that the next epoch depends on."""
        buffer = io.BytesIO()
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epochs": [msgspec.to_builtins(epoch) for epoch in self.epochs],
            "best": self.best,
            "best_epoch": self.best_epoch,
            "step": self.step,
            "origin": self.origin,
        }
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epochs = [msgspec.convert(epoch, Epoch) for epoch in state["epochs"]]
        self.best, self.best_epoch, self.step = state["best"], state["best_epoch"], state["step"]
        self.origin = state["origin"]
        logger.info("resuming after epoch %d of %d", len(self.epochs), self.recipe.schedule.epochs)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bf16 autocast pays: on GPUs from Ampere on, and on CPUs with AMX tiles."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; biases and the scales of batch normalisation are not decayed."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.optimiser.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.optimiser.learning_rate, fused=True)
