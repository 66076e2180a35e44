"""Random changes of training films as batched tensor operations on the films' own device."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.contracts.recipe import Augmentation

_BLUR_RADIUS = 3


def augment(films: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Change every film of a batch at random, each in its own way.

    Args:
        films: uint8 or float32 [n, 1, S, S]; uint8 is divided by 255.
        augmentation: largest amplitudes.
        generator: on the films' device; the same state gives the same result.

    Returns:
        float32 [n, 1, S, S] in 0..1, in the memory of a new tensor.
    """
    films = films.float() / 255 if films.dtype == torch.uint8 else films
    films = _move(films, augmentation, generator)
    films = _expose(films, augmentation, generator)
    films = _blur(films, augmentation, generator)
    if augmentation.noise:
        amplitude = _uniform(films, generator, 0, augmentation.noise)
        films = films + amplitude * torch.randn(films.shape, generator=generator, device=films.device)
    return _erase(films, augmentation, generator).clamp_(0, 1)


def _uniform(films: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """One number per film, [n, 1, 1, 1]."""
    return torch.rand((len(films), 1, 1, 1), generator=generator, device=films.device) * (high - low) + low


def _sign(films: Tensor, generator: torch.Generator, amplitude: float) -> Tensor:
    return _uniform(films, generator, -amplitude, amplitude)


def _move(films: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Rotate, scale, shift and flip in one resampling; what comes from outside the film is black."""
    angle = _sign(films, generator, math.radians(augmentation.rotation)).flatten()
    zoom = 1 + _sign(films, generator, augmentation.scale).flatten()
    right = _sign(films, generator, 2 * augmentation.translation).flatten()
    down = _sign(films, generator, 2 * augmentation.translation).flatten()
    mirror = 1 - 2 * (_uniform(films, generator, 0, 1).flatten() < augmentation.flip).float()
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    rows = torch.stack([torch.stack([cos * mirror, -sin, right], 1), torch.stack([sin * mirror, cos, down], 1)], 1)
    grid = F.affine_grid(rows, list(films.shape), align_corners=False)
    return F.grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _expose(films: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Gamma, contrast about the film's own mean, and brightness."""
    if augmentation.gamma:
        films = films.clamp_min(1e-4) ** torch.exp(_sign(films, generator, augmentation.gamma))
    mean = films.mean(dim=(2, 3), keepdim=True)
    gain = 1 + _sign(films, generator, augmentation.contrast)
    return (films - mean) * gain + mean + _sign(films, generator, augmentation.brightness)


def _blur(films: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """A Gaussian per film, separable, with the films as groups of one convolution."""
    if not augmentation.blur:
        return films
    n, _, height, width = films.shape
    sigma = _uniform(films, generator, 0.05, max(0.06, augmentation.blur * width / 224)).view(n, 1)
    offsets = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=films.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).unsqueeze(1)
    padded = F.pad(films.view(1, n, height, width), [_BLUR_RADIUS] * 4, mode="replicate")
    across = F.conv2d(padded, kernel.unsqueeze(2), groups=n)
    return F.conv2d(across, kernel.unsqueeze(3), groups=n).view(n, 1, height, width)


def _erase(films: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Grey out one rectangle of at most half the side each way in a share of the films."""
    if not augmentation.erase:
        return films
    side = torch.arange(films.shape[-1], device=films.device) / films.shape[-1]
    high, wide = _uniform(films, generator, 0.1, 0.5), _uniform(films, generator, 0.1, 0.5)
    top, left = _uniform(films, generator, 0, 1) * (1 - high), _uniform(films, generator, 0, 1) * (1 - wide)
    chosen = _uniform(films, generator, 0, 1) < augmentation.erase
    grey = _uniform(films, generator, 0, 1)
    rows, columns = side.view(1, 1, -1, 1), side.view(1, 1, 1, -1)
    inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
    return torch.where(inside & chosen, grey, films)
