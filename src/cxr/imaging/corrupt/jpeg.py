"""Lossy compression: baseline JPEG of a grey picture, all but its lossless entropy coding, as matrix products."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.imaging.corrupt.draws import Draws

_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of luminance, ITU-T T.81 table K.1."""


def jpeg(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Compress and decompress at quality `amount`, 1..100 on libjpeg's scale."""
    n, _, height, width = films.shape
    padded = F.pad(films, [0, -width % 8, 0, -height % 8], mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.view(n, rows, 8, columns, 8).transpose(2, 3).reshape(-1, 64).mul(255).round_().sub_(128)
    cosines = _cosines()
    basis = torch.kron(cosines, cosines).to(films.device)
    table = _quantisation(amount).to(films.device).flatten()
    spectrum = (blocks @ basis.T).div_(table).round_().mul_(table)
    decoded = (spectrum @ basis).add_(128).round_().div_(255)
    pixels = decoded.view(n, rows, columns, 8, 8).transpose(2, 3).reshape(n, 1, rows * 8, columns * 8)
    return pixels[:, :, :height, :width]


def _cosines() -> Tensor:
    """Orthonormal DCT-II of 8 samples, float32 [frequency, sample]."""
    frequency, sample = torch.arange(8).view(8, 1), torch.arange(8).view(1, 8)
    basis = torch.cos((2 * sample + 1) * frequency * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _quantisation(quality: float) -> Tensor:
    """Libjpeg's table for a quality, float32 [8, 8]."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(_LUMINANCE) * scale + 50) / 100).floor().clamp(1, 255)
