"""What is wrong with a patient's lungs: pneumonia fills airspaces low down, tuberculosis scars and hollows the tops."""

from dataclasses import dataclass, replace

import numpy as np

from cxr.imaging.phantom.anatomy import LEFT, RIGHT, Anatomy


@dataclass(frozen=True, kw_only=True)
class Opacity:
    """A cloud of filled airspaces.

    Attributes:
        side: RIGHT or LEFT.
        place: (across, down) in the lung, see `Chest.inside`.
        radii: body units, before its outline is made ragged.
        angle: radians.
        density: share of air that is replaced at its heart, 0..1.
        ragged: how much noise eats into it, 0 smooth to 1 patchy.
        sharp: steepness of its border, below 1 fluffy, 2 as if bounded by a fissure.
        bronchograms: air-filled bronchi stay visible within.
    """

    side: int
    place: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    density: float
    ragged: float
    sharp: float = 0.75
    bronchograms: bool = False


@dataclass(frozen=True, kw_only=True)
class Cavity:
    """A hollow with a wall: a ring shadow. `radius` and `wall` in body units; `fluid` gives it a level."""

    side: int
    place: tuple[float, float]
    radius: float
    wall: float
    density: float
    fluid: bool


@dataclass(frozen=True, kw_only=True)
class Nodules:
    """Round spots scattered about a place with a standard deviation of `spread` lung widths."""

    side: int
    place: tuple[float, float]
    spread: float
    count: int
    radius: float
    density: float


@dataclass(frozen=True, kw_only=True)
class Miliary:
    """Seeds of equal size all over both lungs."""

    count: int
    radius: float
    density: float


@dataclass(frozen=True, kw_only=True)
class Strands:
    """Fibrous bands from the hilum towards the apex."""

    side: int
    count: int
    density: float


@dataclass(frozen=True, kw_only=True)
class Effusion:
    """Fluid in the costophrenic angle with a meniscus; `height` above the dome in body units."""

    side: int
    height: float
    density: float


Lesion = Opacity | Cavity | Nodules | Miliary | Strands | Effusion


@dataclass(frozen=True, kw_only=True)
class Disease:
    """Everything wrong with one patient's lungs.

    Attributes:
        lesions: drawn in this order, hollows open what lies under them.
        seed: fixes the fine structure of the lesions on every film of the patient.
        shrinkage: loss of volume by scarring, (right, left), 0..1.
    """

    lesions: tuple[Lesion, ...]
    seed: int
    shrinkage: tuple[float, float] = (0.0, 0.0)

    def reshape(self, anatomy: Anatomy) -> Anatomy:
        """The body after scarring: hilum pulled up, trachea pulled over, chest narrowed on the side that shrank."""
        right, left = self.shrinkage
        widths, domes = anatomy.lung_width, anatomy.dome
        return replace(
            anatomy,
            hilar_lift=(0.16 * right, 0.16 * left),
            tracheal_shift=anatomy.tracheal_shift + 0.07 * (left - right),
            lung_width=(widths[0] * (1 - 0.06 * right), widths[1] * (1 - 0.06 * left)),
            dome=(domes[0] - 0.08 * right, domes[1] - 0.08 * left),
        )


HEALTHY = Disease(lesions=(), seed=0)


def random_disease(rng: np.random.Generator, finding: str) -> Disease:
    """Draw the disease of a patient; its severity varies from subtle to gross.

    Raises:
        ValueError: `finding` is none of the taxonomy's.
    """
    if finding == "Normal":
        return HEALTHY
    severity = rng.beta(2.6, 1.1)
    seed = int(rng.integers(2**31))
    if finding == "Pneumonia":
        return Disease(lesions=_pneumonia(rng, severity), seed=seed)
    if finding == "Tuberculosis":
        return _tuberculosis(rng, severity, seed)
    raise ValueError(f"finding must be Normal, Pneumonia or Tuberculosis, is {finding!r}")


def _side(rng: np.random.Generator) -> int:
    return RIGHT if rng.random() < 0.55 else LEFT


def _around(rng: np.random.Generator, place: tuple[float, float], spread: tuple[float, float]) -> tuple[float, float]:
    across, down = place[0] + spread[0] * rng.normal(), place[1] + spread[1] * rng.normal()
    return min(max(across, 0.05), 0.95), min(max(down, 0.05), 0.97)


def _pneumonia(rng: np.random.Generator, severity: float) -> tuple[Lesion, ...]:
    side = _side(rng)
    down = rng.uniform(0.6, 0.9) if rng.random() < 0.9 else rng.uniform(0.25, 0.5)
    lobar = rng.random() < 0.5
    lesions = _lobar(rng, side, down, severity) if lobar else _patchy(rng, side, down, severity)
    if rng.random() < 0.3:
        lesions.append(Effusion(side=side, height=0.06 + 0.45 * severity * rng.random(), density=0.9))
    return tuple(lesions)


def _lobar(rng: np.random.Generator, side: int, down: float, severity: float) -> list[Lesion]:
    """One large consolidation with a haze around it."""
    size = 0.2 + 0.17 * severity + rng.uniform(0, 0.08)
    place, angle, stretch = (rng.uniform(0.25, 0.7), down), rng.uniform(-0.5, 0.5), rng.uniform(0.95, 1.4)
    density = 0.32 + 0.54 * severity
    core = Opacity(
        side=side, place=place, radii=(size * stretch, size), angle=angle, density=density,
        ragged=rng.uniform(0.2, 0.55), sharp=rng.uniform(0.7, 2.0), bronchograms=rng.random() < 0.65,
    )  # fmt: skip
    haze = Opacity(
        side=side, place=_around(rng, place, (0.1, 0.05)), radii=(1.5 * size * stretch, 1.4 * size), angle=angle,
        density=0.25 * density, ragged=0.5,
    )  # fmt: skip
    return [haze, core]


def _patchy(rng: np.random.Generator, side: int, down: float, severity: float) -> list[Lesion]:
    """Several fluffy patches, in one lung or in both."""
    both = rng.random() < 0.5
    lesions: list[Lesion] = []
    for _ in range(int(rng.integers(3, 7) + 4 * severity)):
        size = rng.uniform(0.1, 0.22)
        lesions.append(
            Opacity(
                side=_side(rng) if both else side, place=_around(rng, (rng.uniform(0.1, 0.85), down), (0.0, 0.11)),
                radii=(size * rng.uniform(0.9, 1.3), size), angle=rng.uniform(-1, 1),
                density=(0.32 + 0.54 * severity) * rng.uniform(0.55, 1), ragged=rng.uniform(0.4, 0.9),
            )
        )  # fmt: skip
    return lesions


def _tuberculosis(rng: np.random.Generator, severity: float, seed: int) -> Disease:
    if rng.random() < 0.12:
        seeds = Miliary(count=520, radius=rng.uniform(0.008, 0.014), density=0.32 + 0.33 * severity)
        return Disease(lesions=(seeds,), seed=seed)
    side = _side(rng)
    lesions = _upper_zone(rng, side, severity)
    if rng.random() < 0.2 + 0.35 * severity:
        lesions += _upper_zone(rng, -side, severity * rng.uniform(0.3, 1))
    if rng.random() < 0.08:
        lesions.append(Effusion(side=side, height=0.08 + 0.3 * severity, density=0.9))
    if rng.random() < 0.6:
        return Disease(lesions=tuple(lesions), seed=seed)
    lesions.append(Strands(side=side, count=int(5 + 7 * severity), density=0.25 + 0.4 * severity))
    scar = severity * rng.uniform(0.4, 1.1)
    return Disease(lesions=tuple(lesions), seed=seed, shrinkage=(scar, 0.0) if side == RIGHT else (0.0, scar))


def _upper_zone(rng: np.random.Generator, side: int, severity: float) -> list[Lesion]:
    """Infiltrates, nodules and cavities about one place, nearly always high in the lung."""
    down = rng.uniform(0.12, 0.34) if rng.random() < 0.92 else rng.uniform(0.45, 0.75)
    centre = (rng.uniform(0.3, 0.75), down)
    density = 0.32 + 0.44 * severity
    lesions: list[Lesion] = []
    for _ in range(int(rng.integers(3, 6) + 4 * severity)):
        size = rng.uniform(0.08, 0.19)
        lesions.append(
            Opacity(
                side=side, place=_around(rng, centre, (0.17, 0.07)), radii=(size * rng.uniform(0.8, 1.5), size),
                angle=rng.uniform(-1.5, 1.5), density=density * rng.uniform(0.5, 1.0), ragged=rng.uniform(0.5, 1.0),
            )
        )  # fmt: skip
    lesions.append(
        Nodules(
            side=side, place=centre, spread=rng.uniform(0.1, 0.2), count=int(rng.integers(4, 12) + 12 * severity),
            radius=rng.uniform(0.014, 0.026), density=0.75 * density,
        )
    )  # fmt: skip
    for chance in (0.15 + 0.55 * severity, 0.3 * severity):
        if rng.random() < chance:
            lesions += _hollow(rng, side, _around(rng, centre, (0.13, 0.05)), severity)
    return lesions


def _hollow(rng: np.random.Generator, side: int, place: tuple[float, float], severity: float) -> list[Lesion]:
    """A cavity in the infiltrate that broke down to it."""
    radius = rng.uniform(0.07, 0.13 + 0.07 * severity)
    density = 0.36 + 0.4 * severity
    around = Opacity(
        side=side, place=place, radii=(1.5 * radius, 1.4 * radius), angle=0.0, density=0.6 * density, ragged=0.7
    )
    cavity = Cavity(
        side=side, place=place, radius=radius, wall=rng.uniform(0.025, 0.06), density=density, fluid=rng.random() < 0.15
    )
    return [around, cavity]
