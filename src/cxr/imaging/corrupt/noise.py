"""Noise of the electronics and of the photons."""

import math

import torch
from torch import Tensor

from cxr.imaging.corrupt.draws import Draws
from cxr.imaging.corrupt.exposure import DECADES

_REFERENCE = 224


def gaussian_noise(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Electronic noise: a normal with standard deviation `amount` in grey levels 0..1, the same everywhere."""
    return films + amount * draws.normal(films.shape[-1])


def quantum_noise(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Too low a dose: `amount` photons per pixel in air, for pixels of a film of side 224.

    Grey is logarithmic in exposure over `DECADES`, so that what is white gets 1/30 of the photons of air and most of
    the noise. Counts follow the normal limit of the Poisson distribution and are at least one.
    """
    photons = amount * (_REFERENCE / films.shape[-1]) ** 2 * 10 ** (-DECADES * films)
    counted = photons + photons.sqrt() * draws.normal(films.shape[-1])
    return films - torch.log(counted.clamp_min(1) / photons) / (DECADES * math.log(10))
