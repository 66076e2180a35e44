"""Where the lungs lie on a frontal film, without a learned model: an atlas of phantoms, moved and stretched to fit.

The mask is the atlas itself, never what is dark on the film: a consolidated lung is white, and a mask that follows it
would tell the finding by its outline.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.domain import Sex, View
from cxr.imaging.phantom.anatomy import Chest, random_anatomy, random_positioning
from cxr.imaging.phantom.frame import Frame
from cxr.imaging.phantom.lungs import LUNG_DEPTH, lungs
from cxr.imaging.preprocess import Film

LungMask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]

_SIDE = 48
_CHESTS = 40
_HALF_WIDTHS = (0.27, 0.31, 0.35, 0.39, 0.43)
_HALF_HEIGHTS = (0.27, 0.32, 0.37, 0.42, 0.47)
_SHIFTS = np.linspace(-0.15, 0.15, 9)
_STRAY = (0.9, 0.3)
"""Price in correlation of a shift by a whole side, across and down: the chest is in the middle as a rule."""
_OPEN_AIR = 40
"""Grey levels under this, from an edge inwards, are air beside the body or a shutter, not lung."""
_ATLAS, _REACH = 128, 1.25


class _Place(NamedTuple):
    """Where the atlas lies: body units in shares of the side, and the body's origin likewise."""

    half_width: float
    half_height: float
    across: float
    down: float


def lung_mask(film: Film, *, cover: float = 0.3) -> LungMask:
    """Localise both lungs, the part behind the heart left out.

    Args:
        film: uint8 [S, S], upright and frontal, air dark.
        cover: pixels that lie in the lungs of at least this share of the atlas belong to the mask; smaller is wider.

    Returns:
        bool [S, S], never empty.
    """
    place = _fit(film)
    mask: LungMask = _placed(place, film.shape[0]) >= cover
    return mask


@lru_cache(maxsize=1)
def _atlas() -> _Floats:
    """Share of chests whose lungs cover a place, [128, 128] over body coordinates -1.25..1.25."""
    rng = np.random.default_rng(0)
    frame = Frame(side=_ATLAS, unit=_ATLAS / (2 * _REACH), tall=_ATLAS / (2 * _REACH), centre=(_ATLAS / 2, _ATLAS / 2))
    covered = np.zeros((_ATLAS, _ATLAS))
    for number in range(_CHESTS):
        age, sex = float(rng.integers(3, 85)), (Sex.FEMALE, Sex.MALE)[number % 2]
        positioning = random_positioning(rng, view=(View.PA, View.AP)[number // 2 % 2], age=age)
        chest = Chest(random_anatomy(rng, age=age, sex=sex), positioning)
        covered += lungs(frame, chest) > 0.35 * LUNG_DEPTH
    share: _Floats = covered / _CHESTS
    return share


def _placed(place: _Place, side: int) -> _Floats:
    """The atlas as it lies on a film, [side, side]."""
    centres = (np.arange(side) + 0.5) / side
    x = (centres - place.across) / place.half_width
    y = (centres - place.down) / place.half_height
    columns = np.rint((x + _REACH) / (2 * _REACH) * _ATLAS - 0.5).astype(int)
    rows = np.rint((y + _REACH) / (2 * _REACH) * _ATLAS - 0.5).astype(int)
    inside = ((rows >= 0) & (rows < _ATLAS))[:, None] & ((columns >= 0) & (columns < _ATLAS))
    atlas = _atlas()[np.clip(rows, 0, _ATLAS - 1)[:, None], np.clip(columns, 0, _ATLAS - 1)]
    placed: _Floats = np.where(inside, atlas, 0.0)
    return placed


@lru_cache(maxsize=1)
def _candidates() -> tuple[tuple[_Place, ...], _Floats, _Floats]:
    """Every place that is tried, its template as a unit vector [k, _SIDE²], and what it costs [k]."""
    places = tuple(
        _Place(half_width, half_height, 0.5 + across, 0.5 + 0.14 * half_height + down)
        for half_width in _HALF_WIDTHS
        for half_height in _HALF_HEIGHTS
        for across in _SHIFTS
        for down in _SHIFTS
    )
    templates = np.stack([_template(_placed(place, _SIDE)) for place in places])
    shifts = np.array([(place.across - 0.5, place.down - 0.5 - 0.14 * place.half_height) for place in places])
    return places, templates, np.hypot(*(shifts * _STRAY).T)


def _template(cover: _Floats) -> _Floats:
    """Lungs against a surrounding twice as broad, mean 0 and length 1; what lies farther away does not count."""
    near = _spread(cover > 0.15, _SIDE // 8)
    inner = cover * near
    template = np.where(near, inner - inner.sum() / near.sum(), 0.0).ravel()
    template /= np.linalg.norm(template)
    return template


def _spread(mask: LungMask, reach: int) -> LungMask:
    """Everything within a square of so many pixels around the mask."""
    for axis in (0, 1):
        margin = [(reach, reach) if one == axis else (0, 0) for one in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(mask, margin), 2 * reach + 1, axis=axis)
        mask = np.logical_or.reduce(windows, axis=-1)
    return mask


def _fit(film: Film) -> _Place:
    small = Image.fromarray(film).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float64)
    ranks = np.empty(grey.size)
    ranks[np.argsort(grey, axis=None, kind="stable")] = np.linspace(1, -1, grey.size)
    ranks[_beside_the_body(grey).ravel()] = -1
    places, templates, price = _candidates()
    found = templates @ ranks / np.linalg.norm(ranks) - price
    return places[int(found.argmax())]


def _beside_the_body(grey: _Floats) -> LungMask:
    """What is dark all the way from one of the four edges."""
    dark = grey < _OPEN_AIR
    found = np.zeros_like(dark)
    for turns in range(4):
        found |= np.rot90(np.logical_and.accumulate(np.rot90(dark, turns), axis=1), -turns)
    return found
