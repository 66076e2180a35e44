"""Loss of sharpness: focus and screen, movement of the patient, a coarse detector."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.imaging.corrupt.draws import Draws


def blur(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Gaussian blur with standard deviation `amount`, a share of the side.

    The kernel is the discrete analogue of the Gaussian (Lindeberg 1990), whose variance is right under one pixel too.
    """
    sigma = amount * films.shape[-1]
    radius = max(1, math.ceil(3 * sigma))
    frequency = torch.arange(4 * radius + 1) * (math.pi / (4 * radius))
    kernel = torch.fft.irfft(torch.exp(sigma**2 * (torch.cos(frequency) - 1)))
    kernel = kernel.roll(radius)[: 2 * radius + 1].to(films.device)
    kernel /= kernel.sum()
    padded, n = _framed(films, radius), len(films)
    across = F.conv2d(padded, kernel.expand(n, 1, 1, -1), groups=n)
    return F.conv2d(across, kernel.view(-1, 1).expand(n, 1, -1, 1), groups=n).view(films.shape)


def motion(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """The patient moved by `amount`, a share of the side, in a straight line during the exposure."""
    length = amount * films.shape[-1]
    radius = max(1, math.ceil(length / 2))
    steps = (torch.arange(8 * radius + 1, device=films.device) / (8 * radius) - 0.5) * length
    angle = draws.uniform(1) * math.pi
    kernel = _line(steps * torch.cos(angle), steps * torch.sin(angle), radius)
    return F.conv2d(_framed(films, radius), kernel.unsqueeze(1), groups=len(films)).view(films.shape)


def resolution(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """A detector with `amount` times as many pixels along the side as the network takes."""
    side = films.shape[-1]
    coarse = F.interpolate(films, size=(max(2, round(amount * side)),) * 2, mode="area")
    return F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)


def _framed(films: Tensor, radius: int) -> Tensor:
    """Films [n, 1, h, w] with their edges repeated, as the groups [1, n, …] of one convolution."""
    return F.pad(films.transpose(0, 1), [radius] * 4, mode="replicate")


def _line(right: Tensor, down: Tensor, radius: int) -> Tensor:
    """Kernels [n, k, k] with equal weight along points [n, p], each shared among its four nearest cells."""
    cells = torch.arange(-radius, radius + 1, device=right.device)
    near_x = (1 - (right.unsqueeze(-1) - cells).abs()).clamp_min(0)
    near_y = (1 - (down.unsqueeze(-1) - cells).abs()).clamp_min(0)
    kernel = torch.einsum("npy,npx->nyx", near_y, near_x)
    return kernel / kernel.sum(dim=(1, 2), keepdim=True)
