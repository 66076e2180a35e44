"""The bundle: the one folder that is served. Its SHA-256 is its identity in every log, response and registry entry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr.contracts.files import Contract, file_digest, read_json
from cxr.contracts.metrics import Calibration
from cxr.contracts.recipe import Preprocessing
from cxr.errors import BundleError, ContractError

BUNDLE_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
DRIFT_FOLDER = "drift"
GATE_FOLDER = "gate"
REPORTS_FOLDER = "reports"
MODEL_CARD_FILE = "MODEL_CARD.md"


class TensorSpec(Contract, frozen=True, kw_only=True):
    """A tensor of the ONNX graph; -1 is the batch. Input values are grey levels 0..1 before `mean` and `std`."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class OutOfDistribution(Contract, frozen=True, kw_only=True):
    """Films whose embedding is farther than `limit` from the training films are referred: their figures mean nothing.

    The distance is Mahalanobis' under the probabilistic PCA of `drift/reference.npz`
    (`cxr.drift.reference.Projection.distance`); `quantile` of the validation films lie within the limit. It counts what
    lies outside of the components as well, which is where most strange pictures differ.
    """

    limit: float
    quantile: float


PICTURES = ("frontal", "rotated", "wrong_view", "not_a_chest_film")
"""What the gate takes a picture for: an upright frontal chest film, or the code of its refusal."""


class PictureGate(Contract, frozen=True, kw_only=True):
    """Limits on the log-odds of being an upright frontal chest film, as `gate/gate.npz` sees a picture's layout.

    The network is not asked: embeddings of hands and of lateral films lie among those of chest films.

    Attributes:
        refuse_below: a picture under it is refused before the network sees it.
        refer_below: a picture under it is referred, whatever the network says.
        refused_share, referred_share: of the validation films, clean and with clinical corruptions, that lie under the
            limits.
    """

    refuse_below: float
    refer_below: float
    refused_share: float
    referred_share: float


class Provenance(Contract, frozen=True, kw_only=True):
    """Where a bundle comes from. Digests are SHA-256."""

    created: str
    cxr_version: str
    index: str
    checkpoint: str
    recipe: str
    training_films: int
    training_sources: tuple[str, ...]
    initial_weights: str


class BundleManifest(Contract, frozen=True, kw_only=True):
    """`bundle.json`.

    Attributes:
        version: 1 has no limits of prediction sets in its calibration; it is read and served without them.
        files: relative name to SHA-256 of every other file of the bundle; the bundle's own digest is that of this file.
        outputs: logits, embedding, maps (class-activation maps, one per finding).
    """

    version: Literal[1, 2] = 2
    architecture: str
    findings: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: Calibration
    out_of_distribution: OutOfDistribution
    gate: PictureGate
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provenance: Provenance
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on disk.

    Attributes:
        folder: where it lies.
        digest: SHA-256 of its `bundle.json`, which holds the digest of every other file.
    """

    folder: Path
    manifest: BundleManifest
    digest: str


def read_bundle(folder: Path, *, verify: bool = True) -> Bundle:
    """Read a bundle's manifest and check its files against it.

    Args:
        folder: of the bundle.
        verify: hash every file. Without it only the names are compared, which is right where another layer has just
            verified the bytes.

    Raises:
        BundleError: `bundle.json` is missing or malformed, or a file is missing, changed or not listed.
    """
    try:
        manifest = read_json(folder / BUNDLE_FILE, BundleManifest)
    except ContractError as error:
        raise BundleError(f"{folder} must be a bundle as `cxr package` writes it: {error}") from error
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {BUNDLE_FILE}
    missing, extra = sorted(manifest.files.keys() - present), sorted(present - manifest.files.keys())
    changed = [
        name
        for name, digest in sorted(manifest.files.items())
        if verify and name in present and file_digest(folder / name) != digest
    ]
    if missing or extra or changed:
        raise BundleError(
            f"the files of {folder} must be those that its {BUNDLE_FILE} lists: missing {missing[:5]}, "
            f"changed {changed[:5]}, not listed {extra[:5]}; copy the bundle again, or run `cxr package`"
        )
    return Bundle(folder=folder, manifest=manifest, digest=file_digest(folder / BUNDLE_FILE))
