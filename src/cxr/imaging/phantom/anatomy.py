"""Who is on the film: a patient's body, and how it stands in front of the detector."""

from dataclasses import dataclass

import numpy as np

from cxr.domain import AgeGroup, Sex, View
from cxr.imaging.phantom.fields import Field, bulge, bump, smooth, unit
from cxr.imaging.phantom.frame import Numbers, Points

RIGHT, LEFT = -1, 1
"""Sides of the patient; the right lies at x < 0, left on the film."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """A body. Lengths are body units (see `frame`), attenuations are shares of the mediastinum's.

    Attributes:
        age: years.
        sex: F or M.
        tall: height of a body unit relative to its width; small in the round thorax of a child.
        fat: soft tissue outside the ribs.
        lung_width: half-width of the chest at its widest, (right, left).
        dome: height of the diaphragm, (right, left).
        shoulders: how fast the lungs widen below their apices.
        mediastinum: half-width of the upper mediastinum.
        heart: size of the heart, 1 in a normal adult.
        heart_angle: tilt of its long axis, radians.
        knob: size of the aortic knob.
        unfolding: bulge of the descending aorta beyond the heart's shadow.
        thymus: width of a small child's thymus.
        hila: size of the hilar vessels, (right, left).
        rib_spacing, rib_slope, rib_width, rib_density: of the rib cage.
        clavicle: slope of the clavicles.
        breast: size of the breast shadows, 0 for none.
        breast_drop: how low they lie.
        rib_start: height of the first rib at the spine.
        vessel_seed: the branching of the lung vessels.
        shape_seed: the slight bending of all shapes and the unevenness of ribs and heart.
        tracheal_shift: deviation of the trachea to the patient's left.
        hilar_lift: how far each hilum is pulled upwards, (right, left).
        stomach: size of the gas bubble below the left dome.
    """

    age: float
    sex: Sex
    tall: float
    fat: float
    lung_width: tuple[float, float]
    dome: tuple[float, float]
    shoulders: float
    mediastinum: float
    heart: float
    heart_angle: float
    knob: float
    unfolding: float
    thymus: float
    hila: tuple[float, float]
    rib_spacing: float
    rib_slope: float
    rib_width: float
    rib_density: float
    clavicle: float
    breast: float
    breast_drop: float
    rib_start: float
    vessel_seed: int
    shape_seed: int
    tracheal_shift: float
    hilar_lift: tuple[float, float]
    stomach: float

    @property
    def child(self) -> bool:
        """Under 18 years."""
        return AgeGroup.of(self.age) is AgeGroup.PAEDIATRIC


@dataclass(frozen=True, kw_only=True)
class Positioning:
    """How the patient stands or lies for one film.

    Attributes:
        view: PA, or AP with a magnified heart and the scapulae over the lungs.
        rotation: of the trunk, -1..1.
        inspiration: shift of the diaphragm downwards, body units.
        zoom: half the film's side in body units is 1 / zoom.
        shift: of the body on the film, body units.
        tilt: of the body on the film, radians.
        shape_seed: the slight bending of all shapes on this film.
        arms: -1 hanging close to the trunk, 0 away from it, 1 raised.
    """

    view: View
    rotation: float
    inspiration: float
    zoom: float
    shift: tuple[float, float]
    tilt: float
    shape_seed: int
    arms: float


def random_anatomy(rng: np.random.Generator, *, age: float, sex: Sex) -> Anatomy:
    """Draw a body of a given age and sex."""
    child = age < 18
    youth = float(np.clip((16 - age) / 15, 0, 1))
    old = float(np.clip((age - 45) / 40, 0, 1))

    def spread(mean: float, deviation: float) -> float:
        return float(mean + deviation * np.clip(rng.standard_normal(), -2.2, 2.2))

    width, dome = spread(1.0, 0.04), spread(0.72, 0.07)
    woman = sex is Sex.FEMALE and age > 13
    return Anatomy(
        age=age,
        sex=sex,
        tall=spread(1.02 - 0.14 * youth - 0.05 * old, 0.08),
        fat=float(np.clip(spread(0.2 - 0.07 * youth + 0.03 * old, 0.08), 0.08, 0.5)),
        lung_width=(width * spread(1, 0.03), width * spread(1, 0.03)),
        dome=(dome, dome + spread(0.07, 0.05)),
        shoulders=spread(3.1 - 0.6 * youth, 0.4),
        mediastinum=spread(0.185 + 0.05 * youth + 0.03 * old, 0.025),
        heart=spread(0.97 + 0.16 * youth + 0.09 * old, 0.1),
        heart_angle=spread(0.72 - 0.25 * youth - 0.15 * old, 0.15),
        knob=max(0.0, spread(0.065 - 0.045 * youth + 0.06 * old, 0.025)),
        unfolding=max(0.0, spread(0.12 * old, 0.05)),
        thymus=max(0.0, spread(0.07, 0.05)) if age < 4 else 0.0,
        hila=(spread(1.0, 0.16), spread(1.0, 0.16)),
        rib_spacing=spread(0.187, 0.011),
        rib_slope=spread(0.62 - 0.2 * youth + 0.05 * old, 0.1),
        rib_width=spread(0.083 - 0.012 * youth, 0.008),
        rib_density=spread(1.0 + 0.25 * child - 0.2 * old, 0.18),
        clavicle=spread(0.20, 0.11),
        breast=max(0.0, spread(0.55, 0.3)) if woman else 0.0,
        breast_drop=spread(0.62 + 0.12 * old, 0.08),
        rib_start=spread(-1.06, 0.03),
        vessel_seed=int(rng.integers(2**31)),
        shape_seed=int(rng.integers(2**31)),
        tracheal_shift=spread(0.0, 0.012),
        hilar_lift=(0.0, 0.0),
        stomach=min(0.22, max(0.0, spread(0.08, 0.1))),
    )


def random_positioning(rng: np.random.Generator, *, view: View, age: float) -> Positioning:
    """Draw how a patient of a given age is positioned for a film."""
    youth = float(np.clip((16 - age) / 15, 0, 1))
    frontal = view is View.PA
    zoom = rng.normal(0.77 if frontal else 0.8, 0.055) - 0.03 * youth
    return Positioning(
        view=view,
        rotation=float(np.clip(rng.normal(0, 0.3 if frontal else 0.5), -1, 1)),
        inspiration=float(rng.normal(0.03 if frontal else -0.05, 0.06)),
        zoom=float(np.clip(zoom, 0.64, 0.95)),
        shift=(float(rng.normal(0, 0.05)), float(rng.normal(0.0, 0.075))),
        tilt=float(np.clip(rng.normal(0, 0.02 if frontal else 0.04), -0.1, 0.1)),
        shape_seed=int(rng.integers(2**31)),
        arms=float(np.clip(rng.normal(-0.35, 0.4) + 0.9 * youth * rng.random(), -1, 1)),
    )


class Chest:
    """The shape of one patient's lungs on one film, from which every other structure takes its place.

    Attributes:
        width: half-width of the chest by side.
        dome: height of the diaphragm by side.
    """

    apex = -1.02

    def __init__(self, anatomy: Anatomy, positioning: Positioning) -> None:
        self.anatomy = anatomy
        self.positioning = positioning
        self._turn = 0.05 * positioning.rotation
        right, left = anatomy.lung_width
        self.width = {RIGHT: right * (1 + self._turn), LEFT: left * (1 - self._turn)}
        self.dome = {RIGHT: anatomy.dome[0] + positioning.inspiration, LEFT: anatomy.dome[1] + positioning.inspiration}

    def lateral(self, side: int, y: Field) -> Field:
        """Distance of the inner chest wall from the midline at height `y`."""
        depth = unit((y - self.apex) / 1.9)
        opening = (1 - (1 - depth) ** self.anatomy.shoulders) ** 0.62
        return 0.44 + (self.width[side] - 0.44) * opening

    def medial(self, side: int, y: Field) -> Field:
        """Distance of the mediastinal border from the midline at height `y`, without the heart."""
        a = self.anatomy
        half = a.mediastinum + 0.8 * side * self._turn
        border = 0.44 - (0.44 - half) * bulge((y - self.apex) / 0.32)
        if side == LEFT:
            border = border + a.knob * bump((y + 0.42) / 0.12) + 0.05 * bump((y + 0.12) / 0.15)
            border = border + a.unfolding * bump((y - 0.1) / 0.4)
        else:
            border = border + 0.4 * a.unfolding * bump((y + 0.35) / 0.3)
        thymus = a.thymus * bump((y + 0.4) / 0.22)
        return border + (thymus if side == RIGHT else 0.7 * thymus)

    def diaphragm(self, side: int, x: Field) -> Field:
        """Height of the dome of one side at `x`: highest a little medial of the middle, falling to the angles."""
        distance = np.abs(x) - 0.48
        outer = np.maximum(distance, 0) / (self.width[side] - 0.48)
        inner = np.minimum(distance, 0) / 0.48
        drop: Field = 0.30 * outer**2.3 + 0.12 * inner * inner
        return self.dome[side] + drop

    def air(self, side: int, x: Field, y: Field) -> Field:
        """Depth of aerated lung of one side, 0..1, before heart and vessels; `x` is a row, `y` a column."""
        across = x * side
        outer = bulge((self.lateral(side, y) - across) / 0.42)
        inner = bulge((across - self.medial(side, y)) / 0.16)
        floor = self.diaphragm(side, x) - y
        depth = np.maximum(smooth(floor / 0.05 + 0.5), 0.10 * smooth((floor + 0.22) / 0.2))
        apical = 0.62 + 0.38 * smooth((y - self.apex) / 0.7)
        air: Field = outer * inner * depth * apical
        return air

    def inside(self, side: int, across: Numbers | float, down: Numbers | float) -> Points:
        """Body positions [..., 2] of places in a lung.

        Args:
            side: RIGHT or LEFT.
            across: 0 at the mediastinum to 1 at the ribs.
            down: 0 at the apex to 1 at the dome.
        """
        y = self.apex + np.asarray(down, np.float64) * (self.dome[side] - self.apex)
        height = y.astype(np.float32)
        near, far = self.medial(side, height), self.lateral(side, height)
        return np.stack([side * (near + np.asarray(across) * (far - near)), y], axis=-1)
