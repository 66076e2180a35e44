"""The patient stood askew or off centre; what comes from outside the film is black."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.imaging.corrupt.draws import Draws


def rotation(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Turn by `amount` degrees, clockwise or not as drawn for the film."""
    angle = draws.signs() * math.radians(amount)
    still = torch.zeros_like(angle)
    return _resample(films, torch.cos(angle), torch.sin(angle), still, still)


def translation(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Shift by `amount`, a share of the side, in a direction drawn for the film."""
    angle = draws.uniform(1)[:, 0] * 2 * math.pi
    upright = torch.ones_like(angle), torch.zeros_like(angle)
    return _resample(films, *upright, 2 * amount * torch.cos(angle), 2 * amount * torch.sin(angle))


def _resample(films: Tensor, cos: Tensor, sin: Tensor, right: Tensor, down: Tensor) -> Tensor:
    rows = torch.stack([torch.stack([cos, -sin, right], 1), torch.stack([sin, cos, down], 1)], 1)
    grid = F.affine_grid(rows, list(films.shape), align_corners=False)
    return F.grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
