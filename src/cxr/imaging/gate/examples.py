"""What the gate learns from: films as they are, as others send them, and pictures that are no frontal chest films."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.contracts.recipe import Preprocessing
from cxr.imaging.gate import spoil
from cxr.imaging.gate.drawn import bones, lateral, scenes, slices
from cxr.imaging.gate.vary import varied
from cxr.imaging.polarity import is_negative, negated
from cxr.imaging.preprocess import Film, network_input

Films = npt.NDArray[np.uint8]

_VARIED = 0.5
_DRAWN_SIDE = 128


@dataclass(frozen=True)
class Spoiled:
    """Pictures made by spoiling films.

    Attributes:
        code: that they are to be refused with.
        share: how many there are for one of a kind of share 1.
        make: the picture, of the film's size.
    """

    code: str
    share: int
    make: Callable[[Film, np.random.Generator], Film]


@dataclass(frozen=True)
class Drawn:
    """Pictures drawn from nothing; see `Spoiled`."""

    code: str
    share: int
    make: Callable[[int, np.random.Generator], Film]


KINDS: dict[str, Spoiled | Drawn] = {
    "turned": Spoiled("rotated", 3, spoil.turned),
    "upside down": Spoiled("rotated", 2, spoil.upside_down),
    "tilted": Spoiled("rotated", 3, spoil.tilted),
    "half a chest": Spoiled("wrong_view", 2, spoil.half),
    "lateral chest": Drawn("wrong_view", 3, lateral.lateral_chest),
    "close-up": Spoiled("not_a_chest_film", 2, spoil.close_up),
    "neck or abdomen": Spoiled("not_a_chest_film", 1, spoil.band),
    "shuffled": Spoiled("not_a_chest_film", 1, spoil.shuffled),
    "small on a page": Spoiled("not_a_chest_film", 1, spoil.small_on_page),
    "negative": Spoiled("not_a_chest_film", 1, spoil.negative),
    "swirled": Spoiled("not_a_chest_film", 1, spoil.swirled),
    "two films": Spoiled("not_a_chest_film", 1, spoil.beside),
    "limb": Drawn("not_a_chest_film", 1, bones.limb),
    "hand": Drawn("not_a_chest_film", 1, bones.hand),
    "skull": Drawn("not_a_chest_film", 1, bones.skull),
    "pelvis": Drawn("not_a_chest_film", 1, bones.pelvis),
    "slice": Drawn("not_a_chest_film", 1, slices.slice_of_body),
    "any radiograph": Drawn("not_a_chest_film", 2, slices.any_radiograph),
    "scene": Drawn("not_a_chest_film", 2, scenes.scene),
    "page": Drawn("not_a_chest_film", 1, scenes.page),
    "nearly nothing": Drawn("not_a_chest_film", 1, scenes.gradient),
}
"""Every kind of picture that the gate learns to refuse. "Any radiograph" stands for all that have no kind here."""


def varied_films(films: Films, preprocessing: Preprocessing, *, rng: np.random.Generator) -> Iterator[Film]:
    """Every film as another department might send it, see `cxr.imaging.gate.vary`, and preprocessed again."""
    for film in films:
        yield network_input(varied(film, rng), preprocessing)


def strange_pictures(
    kind: Spoiled | Drawn, films: Films, preprocessing: Preprocessing, *, count: int, rng: np.random.Generator
) -> Iterator[Film]:
    """Pictures of one kind as the network would get them: mended if they are plain negatives, and preprocessed.

    Args:
        kind: of `KINDS`.
        films: to be spoiled, uint8 [n, S, S] as `network_input` gives them.
        preprocessing: of the recipe.
        count: of pictures tried; those that are plain negatives of chest films are left out of the negatives, since a
            reader mends them.
        rng: source of randomness.
    """
    for _ in range(count):
        if isinstance(kind, Drawn):
            picture = kind.make(_DRAWN_SIDE, rng)
            picture = varied(picture, rng) if rng.random() < _VARIED else picture
        else:
            film = films[int(rng.integers(len(films)))]
            film = varied(film, rng) if rng.random() < _VARIED else film
            picture = kind.make(film, rng)
        mended = is_negative(picture)
        if mended and kind.make is spoil.negative:
            continue
        yield network_input(negated(picture) if mended else picture, preprocessing)
