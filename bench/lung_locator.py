"""Learn the lungs of phantoms again, by the method that made `src/cxr/modeling/lung_locator.safetensors`, and compare.

    python bench/lung_locator.py [--films 4000] [--steps 2300] [--write FILE]

Prints the mean overlap (Dice) with the lungs of phantoms that were not learnt, of the packaged locator and the new one.
No film of a patient is used. Batch normalisation is part of the training and folded into the convolutions at the end.
"""

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from cxr.domain import TAXONOMY
from cxr.imaging.phantom import draw_phantom
from cxr.modeling.lung_frame import LOCATOR_SIDE, LungFrame, LungLocator, standardised

BATCH = 32
RATE = 3e-3
TESTED = 300


def drawn(seed: int, *, side: int) -> np.ndarray:
    """Film and lungs of one phantom, uint8 [2, side, side]."""
    phantom = draw_phantom(seed=seed, finding=TAXONOMY.findings[seed % len(TAXONOMY)], side=side)
    return np.stack([phantom.film, phantom.lungs.astype(np.uint8) * np.uint8(255)])


def phantoms(count: int, first: int) -> Tensor:
    """Films and lungs, float32 [n, 2, 64, 64] in 0..1."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(drawn, side=2 * LOCATOR_SIDE), range(first, first + count), chunksize=32))
    return F.avg_pool2d(torch.from_numpy(np.stack(found)).float() / 255, 2)


def uniform(films: Tensor, low: float, high: float) -> Tensor:
    """One number per film, [n, 1, 1, 1]."""
    return torch.rand(len(films), 1, 1, 1) * (high - low) + low


def moved(both: Tensor) -> Tensor:
    """Turn, shift, stretch and mirror films and lungs alike; far enough away that a page around a film is seen too."""
    n = len(both)
    angle, aspect = uniform(both, -0.26, 0.26).flatten(), torch.exp(uniform(both, -0.15, 0.15).flatten())
    zoom = torch.exp(uniform(both, math.log(0.6), math.log(1.6)).flatten())
    mirror = torch.randint(0, 2, (n,)) * 2.0 - 1
    across, down = uniform(both, -0.18, 0.18).flatten(), uniform(both, -0.18, 0.18).flatten()
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [[cos * aspect * mirror, -sin / aspect, across], [sin * aspect * mirror, cos / aspect, down]]
    grid = F.affine_grid(torch.stack([torch.stack(row, 1) for row in rows], 1), list(both.shape), align_corners=False)
    outside = "border" if torch.rand(()) < 0.5 else "zeros"
    return F.grid_sample(both, grid, padding_mode=outside, align_corners=False)


def disguised(films: Tensor) -> Tensor:
    """Another tone curve, uneven exposure, noise, boxes and shutters."""
    knots = torch.cat([torch.zeros(len(films), 1), torch.exp(0.5 * torch.randn(len(films), 6)).cumsum(1)], 1)
    place = films.clamp(0, 1) * 6
    low = place.floor().clamp_max(5).long()
    levels = (knots / knots[:, -1:]).gather(1, low.flatten(1)).view_as(films)
    above = (knots / knots[:, -1:]).gather(1, low.flatten(1) + 1).view_as(films)
    films = levels + (above - levels) * (place - low)
    uneven = F.interpolate(torch.randn(len(films), 1, 3, 3), size=films.shape[-2:], mode="bicubic", align_corners=True)
    films = films + 0.15 * uniform(films, 0, 1) * uneven + uniform(films, 0, 0.06) * torch.randn_like(films)
    return _boxed(films * torch.exp(uniform(films, -0.5, 0.5)) + uniform(films, -0.2, 0.2)).clamp(0, 1)


def _boxed(films: Tensor) -> Tensor:
    side = torch.arange(films.shape[-1]) / films.shape[-1]
    down, across = side.view(1, 1, -1, 1), side.view(1, 1, 1, -1)
    for share, size, reach in ((0.4, 0.15, 0.3), (0.4, 0.15, 0.3), (0.15, 0.15, 1.0), (0.15, 1.0, 0.15)):
        high, wide = uniform(films, 0.03, size), uniform(films, 0.03, reach)
        top, left = uniform(films, 0, 1).round() * (1 - high), uniform(films, 0, 1) * (1 - wide)
        inside = (down >= top) & (down < top + high) & (across >= left) & (across < left + wide)
        films = torch.where(inside & (uniform(films, 0, 1) < share), uniform(films, 0, 1).round(), films)
    return films


def normalised(locator: LungLocator) -> LungLocator:
    """The same network with a batch normalisation after every convolution but the last."""
    for module in list(locator.modules()):
        if isinstance(module, nn.Sequential):
            for name, layer in list(module.named_children()):
                if isinstance(layer, nn.Conv2d):
                    setattr(module, name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))
    return locator


def folded(locator: LungLocator) -> dict[str, Tensor]:
    """Weights of the plain network that computes the same, in half precision."""
    for module in list(locator.modules()):
        if isinstance(module, nn.Sequential):
            for name, layer in list(module.named_children()):
                if isinstance(layer, nn.Sequential) and isinstance(layer[-1], nn.BatchNorm2d):
                    setattr(module, name, nn.utils.fuse_conv_bn_eval(layer[0], layer[1]))
    return {name: tensor.half().contiguous() for name, tensor in locator.state_dict().items()}


def learnt(known: Tensor, steps: int) -> LungLocator:
    """A locator that has learnt phantoms [n, 2, 64, 64]."""
    torch.manual_seed(0)
    locator = normalised(LungLocator()).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(locator.parameters(), RATE, weight_decay=1e-2)
    for step in range(steps):
        both = moved(known[torch.randint(len(known), (BATCH,))])
        lungs = both[:, 1:]
        odds = locator(standardised(disguised(both[:, :1])))
        seen = odds.sigmoid()
        dice = 2 * (seen * lungs).sum((1, 2, 3)) / (seen.sum((1, 2, 3)) + lungs.sum((1, 2, 3)) + 1)
        loss = F.binary_cross_entropy_with_logits(odds, lungs) + 1 - dice.mean()
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return locator.eval()


@torch.inference_mode()
def overlap(locator: nn.Module, known: Tensor) -> float:
    """Mean Dice over phantoms [n, 2, 64, 64]."""
    seen, lungs = locator(standardised(known[:, :1])) > 0, known[:, 1:] > 0.5
    both = (seen & lungs).sum((1, 2, 3))
    return float((2 * both / (seen.sum((1, 2, 3)) + lungs.sum((1, 2, 3)))).mean())


def main() -> None:
    """Learn, compare and perhaps write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--films", type=int, default=4000)
    arguments.add_argument("--steps", type=int, default=2300)
    arguments.add_argument("--write", type=Path, default=None, help="file for the new weights")
    given = arguments.parse_args()
    packaged = LungFrame(LOCATOR_SIDE, LOCATOR_SIDE).locator
    unknown = phantoms(TESTED, first=10_000_000)
    print(f"packaged: Dice {overlap(packaged, unknown):.3f} on {TESTED} phantoms", flush=True)
    weights = folded(learnt(phantoms(given.films, first=0), given.steps))
    fresh = LungLocator().eval()
    fresh.load_state_dict(weights)
    print(f"new:      Dice {overlap(fresh, unknown):.3f}")
    if given.write is not None:
        save_file(weights, given.write)


if __name__ == "__main__":
    main()
