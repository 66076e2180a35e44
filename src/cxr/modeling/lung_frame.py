"""A frame around the lungs, found and cut out by the network itself, so that every film shows the same anatomy.

Sources differ in what lies around the lungs: borders, markers, redaction, arms, how far a child is away. A small U-Net
(Ronneberger et al. 2015) that learnt the lungs of phantoms, and nothing of any patient, finds them; the frame is cut
out, brought to one size and one mean and spread of grey levels. All of it is part of the graph that is served.

Everything is continuous in the film: a frame is made of sums and linear interpolation, so that two runtimes that round
differently see nearly the same frame.
"""

from importlib.resources import as_file, files
from typing import NamedTuple, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

LOCATOR_SIDE = 64
LOCATOR_WIDTH = 8
WEIGHTS_FILE = "lung_locator.safetensors"

_TRIMMED = 0.025
"""Share of the lungs' area that lies beyond each edge before the margin is added: stray cells do not move an edge."""
_MARGIN = 0.10
_LEAST = 0.25
"""Shortest side of a frame, in sides of the film."""
_STEADY = 0.02


class Framed(NamedTuple):
    """What is cut out of n films.

    Attributes:
        glimpse: float32 [n, 1, G, G], mean 0 and spread 1.
        frame: float32 [n, 4], left, top, right and bottom in sides of the film.
    """

    glimpse: Tensor
    frame: Tensor


class LungLocator(nn.Module):
    """A U-Net from standardised films [n, 1, 64, 64] to the log-odds of lung by cell.

    Batch normalisation has been folded into the convolutions: it computes the same in training and evaluation.
    """

    def __init__(self, width: int = LOCATOR_WIDTH) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList(
            [
                _convolutions((1, w, 1), (w, w, 1)),
                _convolutions((w, 2 * w, 2), (2 * w, 2 * w, 1)),
                _convolutions((2 * w, 4 * w, 2), (4 * w, 4 * w, 1)),
                _convolutions((4 * w, 6 * w, 2), (6 * w, 6 * w, 1), (6 * w, 4 * w, 1)),
            ]
        )
        self.up = nn.ModuleList(
            [_convolutions((8 * w, 2 * w, 1)), _convolutions((4 * w, w, 1)), _convolutions((2 * w, w, 1))]
        )
        self.head = nn.Conv2d(w, 1, 1)

    def forward(self, films: Tensor) -> Tensor:
        """Log-odds [n, 1, 64, 64]."""
        levels = []
        for stage in self.down:
            films = stage(films)
            levels.append(films)
        coarse = levels.pop()
        for stage in self.up:
            finer = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
            coarse = stage(torch.cat([finer, levels.pop()], dim=1))
        return cast(Tensor, self.head(coarse))


def _convolutions(*shapes: tuple[int, int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out, stride in shapes:
        layers += [nn.Conv2d(into, out, 3, stride, 1), nn.ReLU()]
    return nn.Sequential(*layers)


class LungFrame(nn.Module):
    """Finds the lungs of films and cuts out a square around them.

    Attributes:
        side: of the square that is cut out, pixels.
        jitter: while training, edges are moved at random by up to this share of the frame.
    """

    def __init__(self, side: int, film_side: int, *, jitter: float = 0.08) -> None:
        """Load the locator's weights, which training leaves as they are.

        Args:
            side: of the square that is cut out, pixels.
            film_side: of the films, pixels.
            jitter: while training, edges are moved at random by up to this share of the frame.
        """
        super().__init__()
        self.side = side
        self.jitter = jitter
        self.locator = LungLocator().requires_grad_(False)
        with as_file(files("cxr.modeling") / WEIGHTS_FILE) as path:
            self.locator.load_state_dict(load_file(path))
        whole = torch.tensor([[0.0, 1.0]])
        self.register_buffer("reduction", _cut(whole, film_side, LOCATOR_SIDE)[0], persistent=False)

    def forward(self, films: Tensor) -> Framed:
        """Cut out the lungs of films, float32 [n, 1, S, S]."""
        with torch.no_grad():
            frame = self.frame(films)
        columns, rows = (
            _cut(frame[:, 0::2], films.shape[-1], self.side),
            _cut(frame[:, 1::2], films.shape[-1], self.side),
        )
        glimpse = rows @ films[:, 0] @ columns.transpose(1, 2)
        return Framed(standardised(glimpse.unsqueeze(1)), frame)

    def frame(self, films: Tensor) -> Tensor:
        """Left, top, right and bottom [n, 4] in sides of the film, a little outside of the lungs."""
        reduction = cast(Tensor, self.reduction)
        small = reduction @ films[:, 0] @ reduction.T
        lungs = torch.sigmoid(self.locator(standardised(small.unsqueeze(1))))[:, 0]
        left, right = _extent(lungs.sum(dim=1))
        top, bottom = _extent(lungs.sum(dim=2))
        frame = torch.stack([left, top, right, bottom], dim=1)
        if self.training and self.jitter:
            size = (frame[:, 2:] - frame[:, :2]).repeat(1, 2)
            frame = frame + self.jitter * size * (2 * torch.rand_like(frame) - 1)
        return frame.clamp(0, 1)

    @staticmethod
    def on_film(maps: Tensor, frame: Tensor, side: int) -> Tensor:
        """Maps of the frames, [n, c, h, w], laid where the frames were on their films: [n, c, side, side], 0 around."""
        height, width = maps.shape[2:]
        across, down = _place(frame[:, 0::2], width, side), _place(frame[:, 1::2], height, side)
        return down.unsqueeze(1) @ maps @ across.unsqueeze(1).transpose(2, 3)


def standardised(films: Tensor) -> Tensor:
    """Films [n, 1, h, w] with mean 0 and spread 1, each by its own grey levels; one of a single level becomes 0."""
    mean = films.mean(dim=(2, 3), keepdim=True)
    away = films - mean
    spread = (away * away).mean(dim=(2, 3), keepdim=True).sqrt()
    return away / (spread + _STEADY)


def _extent(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Where the lungs begin and end along one axis, two tensors [n], from their area by cell [n, k].

    All but `_TRIMMED` of the area lies beyond the first, cells being cut linearly; a margin is added to both, and a
    frame that is too short to be one grows about its middle.
    """
    cells = profile.shape[1]
    shares = (profile + 1e-4) / (profile + 1e-4).sum(dim=1, keepdim=True)
    below = shares.cumsum(dim=1) - shares
    first = ((_TRIMMED - below) / shares).clamp(0, 1).sum(dim=1) / cells
    last = ((1 - _TRIMMED - below) / shares).clamp(0, 1).sum(dim=1) / cells
    half = (last - first).clamp_min(_LEAST) * (0.5 + _MARGIN)
    middle = (first + last) / 2
    return middle - half, middle + half


def _cut(edges: Tensor, film_side: int, side: int) -> Tensor:
    """Weights [n, side, film_side] of film pixels in the pixels of a cut, from its two edges [n, 2].

    A triangle as wide as the coarser of the two rasters: bilinear when enlarging, an antialiased mean when reducing.
    """
    low, high = edges[:, :1] * film_side, edges[:, 1:] * film_side
    step = (high - low) / side
    centres = low + (torch.arange(side, device=edges.device) + 0.5) * step
    pixels = torch.arange(film_side, device=edges.device) + 0.5
    reach = step.clamp_min(1.0).unsqueeze(2)
    weights = (1 - (centres.unsqueeze(2) - pixels).abs() / reach).clamp_min(0)
    return weights / weights.sum(dim=2, keepdim=True).clamp_min(1.0)


def _place(edges: Tensor, cells: int, side: int) -> Tensor:
    """Weights [n, side, cells] of a map's cells in the cells of a film's map, from the frame's two edges [n, 2]."""
    low, high = edges[:, :1], edges[:, 1:]
    centres = (torch.arange(side, device=edges.device) + 0.5) / side
    at = (centres - low) / (high - low) * cells
    inside = ((at >= 0) & (at <= cells)).unsqueeze(2)
    at = at.clamp(0.5, cells - 0.5).unsqueeze(2)
    middles = torch.arange(cells, device=edges.device) + 0.5
    return (1 - (at - middles).abs()).clamp_min(0) * inside
