"""The drift reference: a projection fitted on training embeddings, and the validation films seen through it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.contracts.arrays import read_arrays, write_arrays
from cxr.contracts.drift import ARRAYS_FILE, REFERENCE_FILE, DriftReference
from cxr.contracts.files import read_json, write_json
from cxr.errors import ContractError

VARIANCE = 0.95
"""Share of the training embeddings' variance that the components keep, unless that takes more than …"""
MOST_COMPONENTS = 64
"""… this many: two-sample tests lose power with every feature that holds nothing but noise."""

_PROJECTION = ("mean", "components", "scale", "residual")
_SEEN = ("embedding", "logits", "statistics")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """Principal components of the training embeddings, as a Gaussian (probabilistic PCA, Tipping & Bishop 1999).

    Attributes:
        mean: float32 [d], of the training embeddings.
        components: float32 [k, d], orthonormal rows.
        scale: float32 [k], standard deviation along each component.
        residual: float32 [], standard deviation along any direction outside of the components.
    """

    mean: Floats
    components: Floats
    scale: Floats
    residual: Floats

    def project(self, embedding: Floats) -> Floats:
        """Whitened components [n, k] of embeddings [n, d]: over the training films each has mean 0 and variance 1."""
        whitened = (embedding - self.mean) @ self.components.T / self.scale
        return whitened.astype(np.float32)

    def distance(self, embedding: Floats) -> Floats:
        """Mahalanobis distance [n] of embeddings [n, d] from the training films under the Gaussian."""
        centred = (embedding - self.mean).astype(np.float64)
        inside = centred @ self.components.T
        outside = np.maximum((centred**2).sum(axis=1) - (inside**2).sum(axis=1), 0)
        squared = ((inside / self.scale) ** 2).sum(axis=1) + outside / float(self.residual) ** 2
        distance: Floats = np.sqrt(squared).astype(np.float32)
        return distance


@dataclass(frozen=True, eq=False, kw_only=True)
class SeenFilms:
    """What the network and the statistics say of n films.

    Attributes:
        embedding: float32 [n, k], projected.
        logits: float32 [n, c]; probabilities follow with the temperature of the bundle.
        statistics: float32 [n, s], see `cxr.drift.statistics`.
        distance: float32 [n], from the training films; None in references that are older than it.
    """

    embedding: Floats
    logits: Floats
    statistics: Floats
    distance: Floats | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Reference(SeenFilms):
    """What later films are compared with: n validation films.

    Attributes:
        projection: fitted on the training films.
        rehearsal: test films by condition, see `cxr.contracts.drift.Rehearsal`.
    """

    projection: Projection
    rehearsal: Mapping[str, SeenFilms] = field(default_factory=dict)


def fit_projection(embedding: Floats) -> tuple[Projection, float]:
    """Fit the projection on training embeddings, float32 [n, d].

    Returns:
        The projection, and the share of the variance in its components.

    Raises:
        ContractError: there are fewer than three films, or they all look alike to the network.
    """
    from sklearn.decomposition import PCA

    films, features = embedding.shape
    varied = len(np.unique(embedding, axis=0))
    if varied < 3:
        raise ContractError(f"a drift reference needs at least 3 training films that differ, has {varied} of {films}")
    full = PCA(svd_solver="covariance_eigh").fit(embedding.astype(np.float64))
    rank = min(films - 1, features)
    share = full.explained_variance_ratio_.cumsum()
    count = int(min(1 + (share < VARIANCE).sum(), MOST_COMPONENTS, rank - 1))
    left = full.explained_variance_[count:].sum() / (rank - count)
    floor = np.finfo(np.float32).eps * full.explained_variance_[0]
    projection = Projection(
        mean=full.mean_.astype(np.float32),
        components=full.components_[:count].astype(np.float32),
        scale=np.sqrt(full.explained_variance_[:count]).astype(np.float32),
        residual=np.array(np.sqrt(max(left, floor)), np.float32),
    )
    return projection, float(share[count - 1])


def write_reference(folder: Path, reference: Reference, manifest: DriftReference) -> None:
    """Write `reference.npz` and `reference.json`; the same values give the same bytes."""
    arrays: dict[str, Any] = {name: getattr(reference.projection, name) for name in _PROJECTION}
    arrays |= _arrays("", reference)
    for condition, seen in reference.rehearsal.items():
        arrays |= _arrays(f"{condition}.", seen)
    write_arrays(folder / ARRAYS_FILE, arrays)
    write_json(folder / REFERENCE_FILE, manifest)


def read_reference(folder: Path) -> tuple[Reference, DriftReference]:
    """Read a reference; raises `ContractError` when a file is missing or malformed, or does not fit the other."""
    manifest = read_json(folder / REFERENCE_FILE, DriftReference)
    path = folder / ARRAYS_FILE
    arrays = read_arrays(path, step="cxr fit-drift")
    expected, found = _shapes(manifest), {name: array.shape for name, array in arrays.items()}
    if found != expected or any(array.dtype != np.float32 for array in arrays.values()):
        raise ContractError(
            f"{path} must hold the float32 arrays that {REFERENCE_FILE} describes, {expected}, has {found}; "
            "run `cxr fit-drift` again"
        )
    rehearsal = {
        condition: SeenFilms(**{name: arrays[f"{condition}.{name}"] for name in (*_SEEN, "distance")})
        for condition in (manifest.rehearsal.conditions if manifest.rehearsal else ())
    }
    projection = Projection(**{name: arrays[name] for name in _PROJECTION})
    seen = {name: arrays[name] for name in _SEEN}
    return Reference(projection=projection, **seen, distance=arrays.get("distance"), rehearsal=rehearsal), manifest


def _arrays(prefix: str, seen: SeenFilms) -> dict[str, Floats]:
    arrays = {f"{prefix}{name}": getattr(seen, name) for name in _SEEN}
    return arrays if seen.distance is None else arrays | {f"{prefix}distance": seen.distance}


def _shapes(manifest: DriftReference) -> dict[str, tuple[int, ...]]:
    k, d, rehearsal = manifest.components, manifest.features, manifest.rehearsal
    shapes: dict[str, tuple[int, ...]] = {"mean": (d,), "components": (k, d), "scale": (k,), "residual": ()}
    parts = {"": manifest.reference_films}
    if rehearsal is not None:
        parts |= {f"{condition}.": rehearsal.films for condition in rehearsal.conditions}
    for prefix, films in parts.items():
        shapes[f"{prefix}embedding"] = (films, k)
        shapes[f"{prefix}logits"] = (films, len(manifest.findings))
        shapes[f"{prefix}statistics"] = (films, len(manifest.statistics))
        if rehearsal is not None:
            shapes[f"{prefix}distance"] = (films,)
    return shapes
