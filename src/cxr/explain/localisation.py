"""Does the network look at the lesion? Scores of activation maps against lesion masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.contracts.metrics import Estimate
from cxr.evaluation.arrays import Floats, weighted_mean
from cxr.evaluation.bootstrap import Basis, bootstrap, estimate, share_limit
from cxr.explain.activation import Map, enlarged, peak

SIDE = 224
TOLERANCE = 15.0
"""Pixels at `SIDE` by which a peak may miss the lesion (Zhang et al. 2018)."""


class LesionScore(NamedTuple):
    """How one map does on one lesion mask, with what it would reach by chance.

    Attributes:
        pointing_game: 1 when the map peaks in the lesion or within the tolerance, else 0 (Zhang et al. 2018).
        pointing_chance: share of the film within the tolerance: how often a peak put anywhere hits.
        energy_inside: share of the positive activation that is inside the lesion, 0 when none is positive (energy-based
            pointing game, Wang et al. 2020).
        lesion_area: share of the film that the lesion covers: the energy inside of a flat map.
    """

    pointing_game: float
    pointing_chance: float
    energy_inside: float
    lesion_area: float


def score_lesion(activation: Map, lesion: npt.NDArray[np.bool_], *, tolerance: float = TOLERANCE) -> LesionScore:
    """Score the map of a finding against the mask of its lesions.

    Both cover the whole film, whatever their sizes: the map is enlarged to the mask.

    Args:
        activation: float32 [h, w].
        lesion: [height, width], True in at least one place.
        tolerance: pixels at `SIDE`.
    """
    from scipy.ndimage import distance_transform_edt

    height, width = lesion.shape
    away = distance_transform_edt(~lesion, sampling=(SIDE / height, SIDE / width))
    near = away <= tolerance
    place = peak(activation)
    evidence = np.maximum(enlarged(activation, width=width, height=height), 0)
    total = float(evidence.sum())
    return LesionScore(
        pointing_game=float(near[int(place.y * height), int(place.x * width)]),
        pointing_chance=float(near.mean()),
        energy_inside=float(evidence[lesion].sum()) / total if total > 0 else 0.0,
        lesion_area=float(lesion.mean()),
    )


def mean_scores(
    scores: Sequence[LesionScore], groups: Sequence[str], *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Mean of every score over films, with patient-level bootstrap intervals.

    Args:
        scores: one per film; without any, every mean is undefined.
        groups: patient of each film.
        resamples: number of resamples.
        seed: of the resamples.
    """
    if not scores:
        return {name: Estimate(value=None, reason="no film has a lesion mask") for name in LesionScore._fields}
    table = np.array(scores, np.float64)
    _, patients = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)

    def means(weights: Floats) -> dict[str, Floats]:
        return {name: weighted_mean(table[:, column], weights) for column, name in enumerate(LesionScore._fields)}

    drawn = bootstrap(means, patients.astype(np.int64), resamples=resamples, seed=seed)
    basis = Basis(limit=share_limit(int(patients.max()) + 1))
    return {name: estimate(values, basis) for name, values in drawn.items()}
