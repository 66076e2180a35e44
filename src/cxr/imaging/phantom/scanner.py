"""Simulated X-ray units: how attenuation becomes grey, and what else they leave on the film."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cxr.domain import View
from cxr.imaging.phantom.fields import Field, noise, smooth, soften

Film = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """One X-ray unit and its processing.

    Attributes:
        name: the film's `source`.
        window: attenuations that become black and white.
        gamma: exponent of the grey curve; above 1 darkens the lungs.
        curve: weight of an S-shaped curve, 0..1.
        quantum: standard deviation of photon noise behind the lungs, in attenuation.
        grain: standard deviation of coarse noise.
        blur: Gaussian blur, pixels at side 256.
        pixels: side of the detector in pixels, where the film is coarser than drawn.
        equalise: share of the large-scale contrast that processing takes away, 0..1.
        sharpen: unsharp masking.
        collimation: probability of visible shutters.
        lightbox: probability of a bright or dark border of a digitised film.
        vignette: darkening towards the corners.
        letter: side marker, "L" or "R".
        portable: writes PORTABLE on AP films.
        frontal: probability of a PA film of an adult.
    """

    name: str
    window: tuple[float, float]
    gamma: float
    curve: float
    quantum: float
    grain: float
    blur: float
    pixels: int
    equalise: float
    sharpen: float
    collimation: float
    lightbox: float
    vignette: float
    letter: str
    portable: bool
    frontal: float


SCANNERS = (
    Scanner(
        name="phantom_a", letter="L", portable=False, frontal=0.85, window=(0.10, 1.06), gamma=1.15, curve=0.5,
        quantum=0.004, grain=0.002, blur=0.35, pixels=1024, equalise=0.15, sharpen=0.5, collimation=0.15, lightbox=0.0,
        vignette=0.0,
    ),
    Scanner(
        name="phantom_b", letter="R", portable=True, frontal=0.3, window=(-0.12, 1.08), gamma=0.9, curve=0.1,
        quantum=0.010, grain=0.006, blur=0.8, pixels=512, equalise=0.0, sharpen=0.0, collimation=0.4, lightbox=0.0,
        vignette=0.0,
    ),
    Scanner(
        name="phantom_c", letter="L", portable=False, frontal=0.8, window=(0.02, 1.0), gamma=1.35, curve=0.8,
        quantum=0.005, grain=0.012, blur=1.0, pixels=384, equalise=0.0, sharpen=0.0, collimation=0.1, lightbox=0.6,
        vignette=0.12,
    ),
    Scanner(
        name="phantom_d", letter="R", portable=False, frontal=0.55, window=(0.12, 1.0), gamma=1.0, curve=0.3,
        quantum=0.005, grain=0.003, blur=0.5, pixels=640, equalise=0.5, sharpen=1.0, collimation=0.25, lightbox=0.0,
        vignette=0.0,
    ),
    Scanner(
        name="phantom_e", letter="L", portable=True, frontal=0.5, window=(0.0, 1.12), gamma=1.0, curve=0.2,
        quantum=0.016, grain=0.01, blur=0.6, pixels=192, equalise=0.25, sharpen=0.2, collimation=0.3, lightbox=0.1,
        vignette=0.05,
    ),
)  # fmt: skip
"""Every simulated unit; the first three are those that a tied cohort gives to Normal, Pneumonia and Tuberculosis."""


def expose(attenuation: Field, scanner: Scanner, *, view: View, rng: np.random.Generator) -> Film:
    """Take a film: attenuation [side, side] to 8-bit grey of the same size, air dark."""
    side = attenuation.shape[0]
    signal = soften(attenuation, scanner.blur * side / 256)
    signal = _developed(_noisy(signal, scanner, rng), scanner)
    low, high = scanner.window
    low, high = low + rng.normal(0, 0.03), high + rng.normal(0, 0.05)
    grey = np.clip((signal - low) / (high - low), 0, 1)
    grey = grey ** (scanner.gamma * math.exp(rng.normal(0, 0.12)))
    grey = grey + scanner.curve * (smooth(grey) - grey)
    if scanner.vignette:
        ramp = np.linspace(-1, 1, side, dtype=np.float32)
        grey = grey * (1 - scanner.vignette * (ramp[None] ** 2 + ramp[:, None] ** 2))
    picture = Image.fromarray((grey * 250 + rng.uniform(0, 5)).astype(np.uint8))
    if scanner.pixels < side:
        small = picture.resize((scanner.pixels, scanner.pixels), Image.Resampling.BOX)
        picture = small.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(_finished(picture, scanner, view, rng))


def _noisy(signal: Field, scanner: Scanner, rng: np.random.Generator) -> Field:
    side = signal.shape[0]
    fine = rng.standard_normal(signal.shape, np.float32)
    photons = scanner.quantum * np.exp(0.9 * (signal - 0.4)) * fine
    noisy: Field = signal + photons + scanner.grain * noise(rng, side, cells=side / 3)
    return noisy


def _developed(signal: Field, scanner: Scanner) -> Field:
    side = signal.shape[0]
    if scanner.equalise:
        large = soften(signal, side / 9)
        signal = signal - scanner.equalise * (large - 0.62) * smooth(signal / 0.2)
    if scanner.sharpen:
        signal = signal + scanner.sharpen * (signal - soften(signal, side / 110))
    return signal


def _finished(picture: Image.Image, scanner: Scanner, view: View, rng: np.random.Generator) -> Image.Image:
    side = picture.width
    draw = ImageDraw.Draw(picture)
    if rng.random() < scanner.collimation:
        _shutters(picture, rng)
    _markers(draw, side, scanner, view, rng)
    if rng.random() < scanner.lightbox:
        _border(draw, side, rng)
    return picture


def _shutters(picture: Image.Image, rng: np.random.Generator) -> None:
    """Lead shutters leave black margins on some of the sides, slightly askew."""
    side = picture.width
    draw = ImageDraw.Draw(picture)
    depth = rng.uniform(0.0, 0.07, 4) * (rng.random(4) < 0.6) * side
    lean = rng.normal(0, 0.008, 4) * side * (depth > 0)
    shade = int(rng.integers(0, 12))
    top, bottom, west, east = (float(d) for d in depth)
    draw.polygon([(0, -1), (side, -1), (side, top + lean[0] - 1), (0, top - 1)], fill=shade)
    draw.polygon([(0, side), (side, side), (side, side - bottom + lean[1]), (0, side - bottom)], fill=shade)
    draw.polygon([(-1, 0), (-1, side), (west + lean[2] - 1, side), (west - 1, 0)], fill=shade)
    draw.polygon([(side, 0), (side, side), (side - east + lean[3], side), (side - east, 0)], fill=shade)


def _border(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """The edge of a film on its lightbox."""
    shade = int(rng.choice([250, 252, 4, 10]))
    for edge in range(4):
        depth = float(rng.uniform(0.0, 0.03)) * side
        lean = float(rng.normal(0, 0.01)) * side
        near, far = depth, depth + lean
        corners = [(0.0, 0.0), (float(side), 0.0), (float(side), far), (0.0, near)]
        if edge == 1:
            corners = [(x, side - y) for x, y in corners]
        elif edge == 2:
            corners = [(y, x) for x, y in corners]
        elif edge == 3:
            corners = [(side - y, x) for x, y in corners]
        draw.polygon(corners, fill=shade)


def _markers(draw: ImageDraw.ImageDraw, side: int, scanner: Scanner, view: View, rng: np.random.Generator) -> None:
    height = max(7, round(side * rng.uniform(0.045, 0.075)))
    left_of_patient = scanner.letter == "L"
    across = rng.uniform(0.86, 0.92) if left_of_patient else rng.uniform(0.04, 0.1)
    where = (across * side, rng.uniform(0.03, 0.3) * side)
    shade = int(rng.integers(215, 256))
    draw.text(where, scanner.letter, fill=shade, font=_font(height))
    if scanner.portable and view is View.AP:
        small = max(6, round(side * 0.035))
        across = rng.uniform(0.02, 0.1) if left_of_patient else rng.uniform(0.72, 0.8)
        draw.text((across * side, rng.uniform(0.02, 0.12) * side), "PORTABLE", fill=shade, font=_font(small))


@lru_cache(maxsize=32)
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)
