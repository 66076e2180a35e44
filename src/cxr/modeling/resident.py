"""The training films in memory, and how likely a step is to draw each of them."""

import logging

import numpy as np
import torch
from torch import Tensor

from cxr.contracts.recipe import Recipe
from cxr.modeling.dataset import FilmArray
from cxr.modeling.losses import class_weights
from cxr.modeling.phantoms import SOURCE, PhantomFilms, is_phantom, phantom_films, phantoms_beside
from cxr.modeling.sampling import balanced_chances

logger = logging.getLogger(__name__)


class ResidentFilms:
    """The training films where they are needed: resident on a GPU, a memory map on the CPU.

    Attributes:
        films: uint8 [n, S, S], the phantoms of the recipe after the real ones, see `phantoms_beside`.
        labels: int64 [n].
        chances: how likely each film is to be drawn, [n]; None shows every film once in an epoch.
        weights: of the classes in the loss, [c].
    """

    def __init__(self, films: FilmArray, device: torch.device, recipe: Recipe) -> None:
        self.device = device
        self.films = torch.from_numpy(films.films).to(device)
        self.labels = torch.from_numpy(films.labels).to(device)
        self.chances: np.ndarray | None = None
        sources = films.sources
        beside = phantoms_beside(recipe.sampling, sources)
        if beside:
            drawn = phantom_films(beside, recipe.preprocessing, seed=recipe.seed)
            sources += [SOURCE] * len(drawn.labels)
            self._append(drawn)
        elif recipe.sampling.phantoms:
            logger.info(
                "none of the %d phantoms of sampling.phantoms is learnt: the films of %s are phantoms already",
                recipe.sampling.phantoms,
                ", ".join(sorted({source for source in sources if is_phantom(source)})),
            )
        # of all that is drawn from, or the loss would balance another mix than the one that it is shown
        self.weights = class_weights(recipe, self.labels.cpu()).to(device)
        if recipe.sampling.balance == "sources":
            self.chances = balanced_chances(self.labels.cpu().numpy(), sources)
        elif beside:
            self.chances = np.full(len(sources), 1 / len(sources))

    def _append(self, drawn: PhantomFilms) -> None:
        self.films = torch.cat([self.films, torch.from_numpy(drawn.films).to(self.device)])
        self.labels = torch.cat([self.labels, torch.from_numpy(drawn.labels).to(self.device)])

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [b, 1, S, S] and int64 [b] of rows, int64 [b], that are on the device already."""
        return self.films[rows].unsqueeze(1), self.labels[rows]
