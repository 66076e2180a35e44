"""Predict: what a bundle says of films, one by one, without torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.contracts.bundle import DRIFT_FOLDER
from cxr.contracts.prediction import ActivationPeak, FilmPrediction, FilmRefusal, Referral
from cxr.drift.reference import Projection, read_reference
from cxr.errors import RejectedFilm
from cxr.evaluation.calibration import softmax
from cxr.explain.activation import peak
from cxr.imaging.preprocess import network_input, stored_film
from cxr.imaging.read import read_film
from cxr.modeling.outputs import Outputs
from cxr.modeling.session import BundleSession


class Reader:
    """A bundle that reads films."""

    def __init__(self, bundle: Path) -> None:
        """Open and verify a bundle; raises `BundleError` or `ContractError` when it cannot be served."""
        self._session = BundleSession(bundle)
        reference, _ = read_reference(bundle / DRIFT_FOLDER)
        self._projection: Projection = reference.projection

    def read(self, data: bytes | Path, *, name: str) -> FilmPrediction | FilmRefusal:
        """Classify one film.

        Args:
            data: the file's bytes, or its path.
            name: that the answer calls it by.
        """
        try:
            pixels = read_film(data).pixels
        except RejectedFilm as refused:
            return FilmRefusal(file=name, code=refused.code, reason=refused.reason)
        preprocessing = self._session.manifest.preprocessing
        film = network_input(stored_film(pixels, preprocessing), preprocessing)
        outputs = self._session.infer(film[None], maps=True)
        return self._prediction(name, outputs, height=pixels.shape[0], width=pixels.shape[1])

    def _prediction(self, name: str, outputs: Outputs, *, height: int, width: int) -> FilmPrediction:
        manifest, maps = self._session.manifest, outputs.maps
        if maps is None:
            raise AssertionError("maps were asked for")
        probabilities = softmax(outputs.logits, temperature=manifest.calibration.temperature)[0]
        chosen = int(probabilities.argmax())
        confidence = float(probabilities[chosen])
        distance = float(self._projection.distance(outputs.embedding)[0])
        strange = distance > manifest.out_of_distribution.limit
        referred: list[Referral] = ["low_confidence"] if confidence < manifest.calibration.refer_below else []
        if strange:
            referred.append("out_of_distribution")
        place = peak(maps[0, chosen])
        decision = manifest.findings[chosen]
        return FilmPrediction(
            file=name,
            bundle=self._session.digest,
            probabilities=dict(zip(manifest.findings, probabilities.tolist(), strict=True)),
            decision=decision,
            confidence=confidence,
            operating_points=self._positive(probabilities),
            distance=distance,
            out_of_distribution=strange,
            referred=tuple(referred),
            activation=ActivationPeak(finding=decision, x=place.x * width, y=place.y * height),
        )

    def _positive(self, probabilities: npt.NDArray[np.float64]) -> dict[str, bool]:
        findings = self._session.findings
        return {
            point.key: bool(probabilities[findings.index(point.finding)] >= point.threshold)
            for point in self._session.manifest.calibration.operating_points
        }


def predict(*, bundle: Path, files: Sequence[Path]) -> Iterator[FilmPrediction | FilmRefusal]:
    """Classify films in the order given; a file that is no usable film gets a refusal and the rest go on.

    Args:
        bundle: folder of the bundle.
        files: DICOM, PNG or JPEG; a folder is refused like any file that cannot be read.

    Raises:
        BundleError: the bundle is incomplete or changed; before the first answer.
        ContractError: its drift reference is malformed; likewise.
    """
    reader = Reader(bundle)
    for file in files:
        yield reader.read(file, name=str(file))
