"""Things between beam and film, or burnt into the picture: shutters, lead letters, redaction."""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from cxr.imaging.corrupt.draws import Draws

_PENUMBRA = 0.008
_LETTER = 0.97
_GLYPH = 96


def collimation(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """Lead shutters cover `amount`, a share of the side, from every edge; half to one and a half times as drawn."""
    depth = (amount * (0.5 + draws.uniform(4))).view(-1, 4, 1)
    inward = _centres(films)
    near, far = depth[:, 0::2], depth[:, 1::2]
    open_ = ((inward - near) / _PENUMBRA + 0.5).clamp(0, 1) * ((1 - far - inward) / _PENUMBRA + 0.5).clamp(0, 1)
    return films * open_[:, 0].view(len(films), 1, -1, 1) * open_[:, 1].view(len(films), 1, 1, -1)


def lead_marker(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """A lead letter of height `amount`, a share of the side, in an upper corner: L or R by the side of the patient."""
    place = draws.uniform(3)
    left_of_patient = place[:, 0] < 0.5
    edge = 0.03 + 0.04 * place[:, 1] + amount / 2
    x, y = torch.where(left_of_patient, 1 - edge, edge), 0.04 + 0.12 * place[:, 2] + amount / 2
    zoom, still = torch.full_like(x, 1 / amount), torch.zeros_like(x)
    across = torch.stack([zoom, still, -(2 * x - 1) / amount], 1)
    down = torch.stack([still, zoom, -(2 * y - 1) / amount], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(films.shape), align_corners=False)
    letters = torch.stack([_glyph("R"), _glyph("L")]).to(films.device)[left_of_patient.long()]
    cover = F.grid_sample(letters, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return films + (_LETTER - films).clamp_min(0) * cover


def redaction_box(films: Tensor, amount: float, draws: Draws) -> Tensor:
    """A box of `amount`, a share of the side, by half as much is blotted out anywhere, in black or white."""
    place = draws.uniform(4)
    tall = (place[:, 2] < 0.5).view(-1, 1, 1, 1)
    wide, high = torch.where(tall, amount / 2, amount), torch.where(tall, amount, amount / 2)
    x, y = place[:, 0].view(-1, 1, 1, 1), place[:, 1].view(-1, 1, 1, 1)
    centres = _centres(films)
    columns, rows = centres.view(1, 1, 1, -1), centres.view(1, 1, -1, 1)
    inside = (columns - x).abs().lt(wide / 2) & (rows - y).abs().lt(high / 2)
    return torch.where(inside, (place[:, 3] < 0.5).float().view(-1, 1, 1, 1), films)


def _centres(films: Tensor) -> Tensor:
    """Where the middle of every pixel lies along the side, 0..1."""
    side = films.shape[-1]
    return (torch.arange(side, device=films.device) + 0.5) / side


@lru_cache(maxsize=2)
def _glyph(letter: str) -> Tensor:
    """A letter that fills its square from top to bottom, float32 [1, 96, 96] in 0..1."""
    picture = Image.new("L", (2 * _GLYPH, 2 * _GLYPH))
    draw = ImageDraw.Draw(picture)
    draw.text((_GLYPH // 2, 0), letter, fill=255, font=ImageFont.load_default(_GLYPH), stroke_width=2, stroke_fill=255)
    cut = picture.crop(picture.getbbox())
    cut = cut.resize((round(cut.width * _GLYPH / cut.height), _GLYPH), Image.Resampling.LANCZOS)
    square = Image.new("L", (_GLYPH, _GLYPH))
    square.paste(cut, ((_GLYPH - cut.width) // 2, 0))
    return torch.from_numpy(np.asarray(square, np.float32) / 255).unsqueeze(0)
