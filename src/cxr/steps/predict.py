"""Predict: what a bundle says of films, one by one, without torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.contracts.bundle import DRIFT_FOLDER, GATE_FOLDER, BundleManifest
from cxr.contracts.prediction import ActivationPeak, FilmPrediction, FilmRefusal, Referral
from cxr.drift.reference import Projection, read_reference
from cxr.errors import RejectedFilm
from cxr.evaluation.arrays import Mask
from cxr.evaluation.calibration import softmax
from cxr.evaluation.conformal import prediction_sets
from cxr.explain.activation import peak
from cxr.imaging.gate import Gate, read_gate
from cxr.imaging.preprocess import Film, network_input, stored_film
from cxr.imaging.read import Grey, read_film
from cxr.modeling.session import BundleSession


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """A picture that passed the gate.

    Attributes:
        film: uint8 [S, S], what the network is given.
        stored: the whole film as ingestion keeps it, for display.
        height, width: of the decoded picture, pixels.
        unsure: it passed the gate by little, see `cxr.imaging.gate.Passed`.
    """

    film: Film
    stored: Film
    height: int
    width: int
    unsure: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Interpreter:
    """What comes before a bundle's forward pass and after it; whoever runs the pass.

    Attributes:
        manifest: of the bundle.
        digest: of the bundle.
        projection: gives the distance of an embedding from the training films.
        gate: refuses what is no upright frontal chest film.
    """

    manifest: BundleManifest
    digest: str
    projection: Projection
    gate: Gate

    @classmethod
    def read(cls, folder: Path, *, manifest: BundleManifest, digest: str) -> "Interpreter":
        """The interpreter of a bundle that has been verified; raises `ContractError` when a part is malformed."""
        reference, _ = read_reference(folder / DRIFT_FOLDER)
        gate, _ = read_gate(folder / GATE_FOLDER)
        return cls(manifest=manifest, digest=digest, projection=reference.projection, gate=gate)

    def before(self, pixels: Grey) -> Prepared:
        """Prepare a decoded picture for the network.

        Args:
            pixels: [height, width] as `cxr.imaging.read.read_film` gives them.

        Raises:
            RejectedFilm: the gate refuses it.
        """
        preprocessing = self.manifest.preprocessing
        stored = stored_film(pixels, preprocessing)
        film = network_input(stored, preprocessing)
        height, width = pixels.shape
        return Prepared(film=film, stored=stored, height=height, width=width, unsure=self.gate.check(film).unsure)

    def after(
        self,
        prepared: Prepared,
        *,
        logits: npt.NDArray[np.float32],
        embedding: npt.NDArray[np.float32],
        maps: npt.NDArray[np.float32],
        name: str,
    ) -> FilmPrediction:
        """Say what the outputs for one film mean.

        Args:
            prepared: the film.
            logits: [c].
            embedding: [d].
            maps: [c, h, w].
            name: that the answer calls the film by.
        """
        calibration, findings = self.manifest.calibration, self.manifest.findings
        probabilities = softmax(logits[None], temperature=calibration.temperature)[0]
        chosen = int(probabilities.argmax())
        confidence = float(probabilities[chosen])
        distance = float(self.projection.distance(embedding[None])[0])
        strange = prepared.unsure or distance > self.manifest.out_of_distribution.limit
        referred: list[Referral] = ["low_confidence"] if confidence < calibration.refer_below else []
        if strange:
            referred.append("out_of_distribution")
        place = peak(maps[chosen])
        return FilmPrediction(
            file=name,
            bundle=self.digest,
            probabilities=dict(zip(findings, probabilities.tolist(), strict=True)),
            decision=findings[chosen],
            confidence=confidence,
            prediction_set=self._prediction_set(probabilities),
            operating_points=self._positive(probabilities),
            distance=distance,
            out_of_distribution=strange,
            referred=tuple(referred),
            activation=ActivationPeak(
                finding=findings[chosen], x=place.x * prepared.width, y=place.y * prepared.height
            ),
        )

    def unlike(self, films: npt.NDArray[np.uint8], embedding: npt.NDArray[np.float32]) -> Mask:
        """Films that are unlike those which the bundle learned, or no upright frontal chest film at all, bool [n].

        Args:
            films: [n, S, S] as `network_input` gives them.
            embedding: [n, d], of these films.
        """
        far = self.projection.distance(embedding) > self.manifest.out_of_distribution.limit
        unlike: Mask = far | np.array([not self._passes(film) for film in films], dtype=bool)
        return unlike

    def _passes(self, film: Film) -> bool:
        try:
            return not self.gate.check(film).unsure
        except RejectedFilm:
            return False

    def _prediction_set(self, probabilities: npt.NDArray[np.float64]) -> tuple[str, ...] | None:
        limits, findings = self.manifest.calibration.prediction_sets, self.manifest.findings
        if limits is None:
            return None
        held = prediction_sets(probabilities[None], limits, findings)[0]
        return tuple(finding for finding, holds in zip(findings, held, strict=True) if holds)

    def _positive(self, probabilities: npt.NDArray[np.float64]) -> dict[str, bool]:
        return {
            point.key: bool(probabilities[self.manifest.findings.index(point.finding)] >= point.threshold)
            for point in self.manifest.calibration.operating_points
        }


class Reader:
    """A bundle that reads films."""

    def __init__(self, bundle: Path) -> None:
        """Open and verify a bundle; raises `BundleError` or `ContractError` when it cannot be served."""
        self._session = BundleSession(bundle)
        self._interpreter = Interpreter.read(bundle, manifest=self._session.manifest, digest=self._session.digest)

    def read(self, data: bytes | Path, *, name: str) -> FilmPrediction | FilmRefusal:
        """Classify one film.

        Args:
            data: the file's bytes, or its path.
            name: that the answer calls it by.
        """
        try:
            prepared = self._interpreter.before(read_film(data).pixels)
        except RejectedFilm as refused:
            return FilmRefusal(file=name, code=refused.code, reason=refused.reason)
        outputs = self._session.infer(prepared.film[None], maps=True)
        if outputs.maps is None:
            raise AssertionError("maps were asked for")
        return self._interpreter.after(
            prepared, logits=outputs.logits[0], embedding=outputs.embedding[0], maps=outputs.maps[0], name=name
        )


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
