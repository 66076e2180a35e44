"""A bundle for the drift sidecar, without a network: manifest and reference of made-up films. Needs no torch."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cxr.contracts.bundle import (
    BUNDLE_FILE,
    DRIFT_FOLDER,
    BundleManifest,
    OutOfDistribution,
    PictureGate,
    Provenance,
)
from cxr.contracts.drift import DriftReference, Rehearsal
from cxr.contracts.events import PredictionEvent
from cxr.contracts.files import file_digest, write_json
from cxr.contracts.metrics import Calibration
from cxr.contracts.recipe import Recipe
from cxr.drift.reference import Projection, Reference, SeenFilms, write_reference

FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")
STATISTICS = ("mean", "noise")
FEATURES, COMPONENTS = 6, 3


def seen_films(number: int, seed: int, *, shift: float = 0.0) -> SeenFilms:
    rng = np.random.default_rng(seed)
    return SeenFilms(
        embedding=rng.normal(shift, 1, (number, COMPONENTS)).astype(np.float32),
        logits=rng.normal(0, 2, (number, 3)).astype(np.float32),
        statistics=rng.normal(100, 10, (number, 2)).astype(np.float32),
        distance=rng.normal(5, 1, number).astype(np.float32),
    )


def write_drift_bundle(folder: Path, *, seed: int = 0, rehearsal: bool = True) -> str:
    """Write `bundle.json` and `drift/`; returns the bundle's digest."""
    projection = Projection(
        mean=np.zeros(FEATURES, np.float32),
        components=np.eye(COMPONENTS, FEATURES, dtype=np.float32),
        scale=np.ones(COMPONENTS, np.float32),
        residual=np.array(1, np.float32),
    )
    test = {"clean": seen_films(80, seed + 1), "severe": seen_films(80, seed + 2, shift=1.5)} if rehearsal else {}
    limit = OutOfDistribution(limit=9.0, quantile=0.99)
    described = DriftReference(
        checkpoint="c", index="i", training_films=300, reference_films=300, features=FEATURES, components=COMPONENTS,
        explained_variance=0.9, statistics=STATISTICS, findings=FINDINGS, out_of_distribution=limit,
        rehearsal=Rehearsal(films=80, conditions=tuple(test), seed=0) if rehearsal else None,
    )  # fmt: skip
    seen = vars(seen_films(300, seed)) | ({} if rehearsal else {"distance": None})
    write_reference(folder / DRIFT_FOLDER, Reference(projection=projection, **seen, rehearsal=test), described)
    manifest = BundleManifest(
        architecture="none", findings=FINDINGS, preprocessing=Recipe().preprocessing,
        calibration=Calibration(temperature=1.0, operating_points=(), refer_below=0.5, validation_films=300),
        out_of_distribution=limit,
        gate=PictureGate(refuse_below=0.0, refer_below=0.0, refused_share=0.0, referred_share=0.0),
        inputs=(), outputs=(),
        provenance=Provenance(
            created="2026-01-02", cxr_version="0", index="i", checkpoint="c", recipe="r", training_films=300,
            training_sources=("made up",), initial_weights="none",
        ),
        files={f"{DRIFT_FOLDER}/{path.name}": file_digest(path) for path in (folder / DRIFT_FOLDER).iterdir()},
    )  # fmt: skip
    write_json(folder / BUNDLE_FILE, manifest)
    return file_digest(folder / BUNDLE_FILE)


def make_events(number: int, seed: int, *, bundle: str, shift: float = 0.0) -> list[PredictionEvent]:
    """Events of films like those of the reference, or shifted."""
    seen = seen_films(number, seed, shift=shift)
    powers = np.exp(seen.logits.astype(np.float64))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    embedding = np.pad(seen.embedding, ((0, 0), (0, FEATURES - COMPONENTS))).astype("<f4")
    return [
        PredictionEvent(
            request_id=str(uuid.uuid4()),
            time=datetime.now(UTC),
            bundle=bundle,
            embedding=embedding[row].tobytes(),
            probabilities=dict(zip(FINDINGS, probabilities[row].tolist(), strict=True)),
            decision=FINDINGS[int(probabilities[row].argmax())],
            confidence=float(probabilities[row].max()),
            distance=float(abs(seen.distance[row])),
            statistics=tuple(seen.statistics[row].tolist()),
        )
        for row in range(number)
    ]
