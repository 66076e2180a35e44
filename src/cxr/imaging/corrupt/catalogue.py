"""The corruptions, their five severities as physical amounts, and what a department may expect of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cxr.imaging.corrupt.draws import Draws
from cxr.imaging.corrupt.exposure import brightness, contrast, gamma, grid_cutoff, scatter
from cxr.imaging.corrupt.geometry import rotation, translation
from cxr.imaging.corrupt.jpeg import jpeg
from cxr.imaging.corrupt.noise import gaussian_noise, quantum_noise
from cxr.imaging.corrupt.occlusion import collimation, lead_marker, redaction_box
from cxr.imaging.corrupt.optics import blur, motion, resolution

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One way in which a film gets worse.

    Attributes:
        change: films float32 [n, 1, S, S], amount and random numbers to films of the same shape, not yet cut to 0..1.
        amounts: of severities 1..5.
        unit: of the amounts.
        clinical: the highest severity that a well-run department meets on an ordinary day, 0 for none.
    """

    change: Callable[[Tensor, float, Draws], Tensor]
    amounts: tuple[float, float, float, float, float]
    unit: str
    clinical: int


CORRUPTIONS: dict[str, Corruption] = {
    "brightness_up": Corruption(brightness, (0.06, 0.12, 0.2, 0.3, 0.42), "grey level 0..1", clinical=2),
    "brightness_down": Corruption(brightness, (-0.06, -0.12, -0.2, -0.3, -0.42), "grey level 0..1", clinical=2),
    "contrast": Corruption(contrast, (1.2, 1.45, 1.8, 2.3, 3.2), "times the contrast", clinical=1),
    "gamma": Corruption(gamma, (1.15, 1.35, 1.65, 2.1, 2.8), "exponent or its inverse", clinical=2),
    "scatter": Corruption(scatter, (0.15, 0.4, 0.9, 2.0, 4.5), "scatter / primary", clinical=2),
    "grid_cutoff": Corruption(grid_cutoff, (0.08, 0.16, 0.28, 0.42, 0.6), "grey level 0..1", clinical=1),
    "blur": Corruption(blur, (0.002, 0.004, 0.007, 0.011, 0.017), "sigma / side", clinical=1),
    "motion": Corruption(motion, (0.01, 0.02, 0.035, 0.055, 0.085), "length / side", clinical=1),
    "resolution": Corruption(resolution, (0.7, 0.5, 0.34, 0.23, 0.15), "detector / network pixels", clinical=1),
    "gaussian_noise": Corruption(gaussian_noise, (0.02, 0.04, 0.075, 0.12, 0.19), "sigma, grey level 0..1", clinical=1),
    "quantum_noise": Corruption(quantum_noise, (4000, 1400, 500, 180, 65), "photons per pixel in air", clinical=2),
    "jpeg": Corruption(jpeg, (60, 35, 20, 12, 6), "quality 1..100", clinical=2),
    "rotation": Corruption(rotation, (2, 5, 9, 15, 24), "degrees", clinical=2),
    "translation": Corruption(translation, (0.02, 0.05, 0.09, 0.14, 0.22), "shift / side", clinical=2),
    "collimation": Corruption(collimation, (0.02, 0.05, 0.08, 0.12, 0.17), "depth / side", clinical=2),
    "lead_marker": Corruption(lead_marker, (0.06, 0.09, 0.14, 0.2, 0.28), "height / side", clinical=2),
    "redaction_box": Corruption(redaction_box, (0.12, 0.2, 0.3, 0.42, 0.56), "length / side", clinical=0),
}
"""By name. Lengths are shares of the side, so that a corruption means the same at every input size."""

EVERY_CELL = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)
"""Corruptions with their severities, in the order in which they are told."""

PRESETS: dict[str, tuple[tuple[str, int], ...]] = {
    "clinical": tuple((name, severity) for name, severity in EVERY_CELL if severity <= CORRUPTIONS[name].clinical),
    "severe": tuple((name, severity) for name, severity in EVERY_CELL if severity >= 3),
}
"""`clinical`: what happens in a well-run department. `severe`: what a radiologist would send back."""


def corrupt(films: Tensor, name: str, severity: int, *, seeds: Sequence[int]) -> Tensor:
    """Corrupt every film of a batch.

    Args:
        films: uint8 or float32 0..1, [n, 1, S, S].
        name: of `CORRUPTIONS`.
        severity: 1 (mild) to 5 (severe).
        seeds: one whole number per film; the same number draws the same direction, place and noise at every severity
            and in every batch.

    Returns:
        float32 [n, 1, S, S] in 0..1.
    """
    if len(seeds) != len(films):
        raise ValueError(f"there must be one seed per film, are {len(seeds)} for {len(films)}")
    corruption = CORRUPTIONS[name]
    grey = films.float() / 255 if films.dtype == torch.uint8 else films
    draws = Draws(name, seeds, films.device)
    return corruption.change(grey, corruption.amounts[SEVERITIES.index(severity)], draws).clamp(0, 1)
