"""One film: the body, what is wrong with it, what lies on it, and the unit that takes the picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.domain import Sex, View
from cxr.imaging.phantom.anatomy import Anatomy, Chest, Positioning, random_anatomy, random_positioning
from cxr.imaging.phantom.body import abdomen, breasts, trunk
from cxr.imaging.phantom.disease import Disease, random_disease
from cxr.imaging.phantom.extras import extras
from cxr.imaging.phantom.fields import Field, noise, smooth, soften
from cxr.imaging.phantom.frame import Frame
from cxr.imaging.phantom.lesions import filled
from cxr.imaging.phantom.lungs import airways, lungs, vessels
from cxr.imaging.phantom.scanner import SCANNERS, Film, Scanner, expose
from cxr.imaging.phantom.skeleton import ribs, shoulder_girdle, spine
from cxr.imaging.phantom.warp import Mesh, film_mesh, onto_film

Mask = npt.NDArray[np.bool_]

_MARGIN = 1.12
_NOTICEABLE = 0.035
_RIM = 0.08


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One person: a body and, unless healthy, a disease that every film of theirs shows."""

    anatomy: Anatomy
    disease: Disease
    finding: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Phantom:
    """A drawn film.

    Attributes:
        film: uint8 [side, side], air dark and bone bright.
        mask: bool [side, side], where disease changes the film noticeably; all False when there is none.
        lungs: bool [side, side], where there is or would be air, the thinnest rims left out.
        finding, source, view, sex, age: what the study index says of it.
    """

    film: Film
    mask: Mask
    lungs: Mask
    finding: str
    source: str
    view: View
    sex: Sex
    age: float


def draw_phantom(*, seed: int, finding: str, side: int = 256) -> Phantom:
    """Draw one film of a random patient with a given finding; the same arguments give the same film."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 7]))
    scanner = SCANNERS[int(rng.integers(len(SCANNERS)))]
    patient = random_patient(rng, finding)
    return draw_film(patient, scanner, rng=rng, side=side)


def random_patient(rng: np.random.Generator, finding: str) -> Patient:
    """Draw a patient: three in ten are children, half are women."""
    age = float(rng.integers(1, 18)) if rng.random() < 0.3 else float(np.clip(round(rng.normal(50, 18)), 18, 92))
    sex = Sex.FEMALE if rng.random() < 0.5 else Sex.MALE
    disease = random_disease(rng, finding)
    anatomy = disease.reshape(random_anatomy(rng, age=age, sex=sex))
    return Patient(anatomy=anatomy, disease=disease, finding=finding)


def draw_film(patient: Patient, scanner: Scanner, *, rng: np.random.Generator, side: int) -> Phantom:
    """Position a patient in front of a scanner and take one film."""
    anatomy = patient.anatomy
    frontal = 0.85 * scanner.frontal if anatomy.age < 6 else scanner.frontal
    view = View.PA if rng.random() < frontal else View.AP
    positioning = random_positioning(rng, view=view, age=anatomy.age)
    chest, frame = Chest(anatomy, positioning), _frame(anatomy, positioning, side)
    attenuation, seen, air = _attenuation(frame, chest, patient.disease, rng)
    mesh = film_mesh(anatomy, positioning, drawn=frame.side, side=side)
    mask = np.zeros((side, side), np.bool_)
    if patient.disease.lesions:
        mask = _warped(_noticeable(seen), mesh, side=side)
    drawn = Image.fromarray(attenuation)
    bent = np.asarray(onto_film(drawn, mesh, side=side, resampling=Image.Resampling.BICUBIC))
    film = expose(bent, scanner, view=view, rng=rng)
    return Phantom(
        film=film,
        mask=mask,
        lungs=_warped(air > _RIM, mesh, side=side),
        finding=patient.finding,
        source=scanner.name,
        view=view,
        sex=anatomy.sex,
        age=anatomy.age,
    )


def _warped(mask: Mask, mesh: Mesh, *, side: int) -> Mask:
    drawn = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(onto_film(drawn, mesh, side=side, resampling=Image.Resampling.NEAREST)).astype(np.bool_)


def _frame(anatomy: Anatomy, positioning: Positioning, side: int) -> Frame:
    drawn = round(side * _MARGIN)
    half = 0.5 * drawn
    reach = 0.5 * side * positioning.zoom
    tall = reach * anatomy.tall
    across, down = positioning.shift
    return Frame(side=drawn, unit=reach, tall=tall, centre=(half + across * reach, half + (0.14 + down) * tall))


def _attenuation(frame: Frame, chest: Chest, disease: Disease, rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Attenuation of the body, what of it belongs to lesions and what air takes away, as shares of the trunk's."""
    a, p = chest.anatomy, chest.positioning
    air = lungs(frame, chest)
    texture = 0.015 * noise(rng, frame.side, cells=45, octaves=2, persistence=0.8)
    open_air = air * (1 - vessels(frame, chest) - texture)
    mottle = 0.02 * noise(rng, frame.side, cells=7, octaves=5)
    solid = trunk(frame, a, p) + breasts(frame, a) + abdomen(frame, chest, rng) - airways(frame, a, p)
    soft = soften(solid, 0.012 * frame.unit) * (1 + mottle) - open_air
    bone = ribs(frame, chest) + shoulder_girdle(frame, chest) + spine(frame, a, p) + extras(frame, chest, rng)
    seen = np.zeros_like(soft)
    if disease.lesions:
        share, belonging = filled(frame, chest, disease)
        soft, seen = soft + share * open_air, belonging * air
    return soft + _through(soft) * bone, seen, air


def _through(soft: Field) -> Field:
    """Share of a bone's contrast that survives scatter behind this much soft tissue."""
    return 1 - 0.72 * smooth((soft - 0.35) / 0.6)


def _noticeable(seen: Field) -> Mask:
    near = soften(seen, seen.shape[0] / 90)
    return near > min(_NOTICEABLE, 0.5 * float(near.max()))
