"""How much radiation arrived and how it was displayed: brightness, contrast, gamma, scatter, a misaligned grid."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.imaging.corrupt.draws import Draws

DECADES = 1.5
"""Exposure between black and white: grey is linear in its logarithm, white is the least exposed."""
_SCATTER_CELLS = 16


def brightness(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Shift the display window: `amount` in grey levels 0..1, what leaves the range is lost."""
    return films + amount


def contrast(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """A hard display window: multiply the contrast about the film's own mean by `amount` above 1."""
    mean = films.mean(dim=(2, 3), keepdim=True)
    return (films - mean) * amount + mean


def gamma(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Another characteristic curve: exponent `amount` above 1, or its inverse, as drawn for the film."""
    return films.clamp_min(1e-4) ** (amount ** draws.signs().view(-1, 1, 1, 1))


def scatter(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """A large patient or no grid: scattered rays veil the film, `amount` times the mean primary exposure around.

    The veil flattens what gets little exposure (mediastinum, abdomen, consolidations) more than the lungs.
    """
    exposure = 10 ** (-DECADES * films)
    cells = F.avg_pool2d(F.interpolate(exposure, size=(_SCATTER_CELLS,) * 2, mode="area"), 5, 1, 2, False, False)
    veil = F.interpolate(cells, size=films.shape[2:], mode="bilinear", align_corners=False)
    return torch.log10((exposure + amount * veil) / (1 + amount)) / -DECADES


def grid_cutoff(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """An anti-scatter grid off centre: exposure falls towards one side, which turns lighter by up to `amount`.

    The loss is added, since grey is logarithmic, and grows as 1 - cos across the film.
    """
    across = torch.linspace(0, math.pi, films.shape[-1], device=films.device)
    loss = (1 - torch.cos(across)) / 2
    left = draws.signs().view(-1, 1, 1, 1) < 0
    return films + amount * torch.where(left, loss.flip(0), loss)
