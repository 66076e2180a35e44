"""The gate: a small classifier of a picture's layout, its verdicts, and its files. Numpy only, a millisecond a film."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.contracts.arrays import read_arrays, write_arrays
from cxr.contracts.bundle import PICTURES, PictureGate
from cxr.contracts.files import read_json, write_json
from cxr.contracts.gate import GATE_FILE, GATE_WEIGHTS_FILE, GateReport
from cxr.errors import ContractError, RejectedFilm
from cxr.imaging.gate.layout import LENGTH, layout
from cxr.imaging.polarity import negated
from cxr.imaging.preprocess import Film

Floats = npt.NDArray[np.float32]

_ANGLES = (90, 180, 270, *(angle for angle in range(30, 360, 30) if angle % 90))

_REASONS = {
    "rotated": "the film must stand upright, head up; it looks turned or upside down; turn it and send it again",
    "wrong_view": "the film must be frontal (PA or AP) and show both lungs; it looks like a lateral film or one half "
    "of a chest",
    "not_a_chest_film": "the picture must be a frontal chest radiograph that fills the film; it does not look like one",
}


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A picture that may be a frontal chest film.

    Attributes:
        likeness: log-odds that it is one.
        unsure: it passed by so little that a radiologist must look at it.
    """

    likeness: float
    unsure: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Perceptron:
    """One hidden layer of rectified units over `cxr.imaging.gate.layout.layout`.

    Attributes:
        hidden_weight: float32 [`LENGTH`, h].
        hidden_bias: float32 [h].
        weight: float32 [h, 4], one column for each of `cxr.contracts.bundle.PICTURES`.
        bias: float32 [4].
    """

    hidden_weight: Floats
    hidden_bias: Floats
    weight: Floats
    bias: Floats

    def scores(self, layouts: Floats) -> Floats:
        """Unnormalised log-probabilities [n, 4] of `PICTURES` for layouts [n, `LENGTH`]."""
        hidden = np.maximum(layouts @ self.hidden_weight + self.hidden_bias, 0)
        scores: Floats = hidden @ self.weight + self.bias
        return scores


@dataclass(frozen=True, eq=False, kw_only=True)
class Gate:
    """What a service asks of a picture before the network sees it."""

    perceptron: Perceptron
    limits: PictureGate

    def check(self, film: Film) -> Passed:
        """Judge one picture.

        Args:
            film: uint8 [height, width] as `cxr.imaging.preprocess.network_input` gives it.

        Raises:
            RejectedFilm: `rotated` for what looks like a turned film and would surely pass another way up; else
                `wrong_view` or `not_a_chest_film`, whichever it looks like more.
        """
        scores = self.perceptron.scores(layout(film)[None])
        likeness = float(log_odds(scores)[0])
        if likeness < self.limits.refuse_below:
            code = self._code(film, scores[0])
            raise RejectedFilm(code, _REASONS[code])
        return Passed(likeness=likeness, unsure=likeness < self.limits.refer_below)

    def _code(self, film: Film, scores: Floats) -> str:
        likely = [PICTURES[place] for place in np.argsort(-scores[1:], kind="stable") + 1]
        if likely[0] == "rotated" and not self._passes_turned(film):
            return likely[1]
        return likely[0]

    def _passes_turned(self, film: Film) -> bool:
        """Whether it would surely pass another way up, as a negative too: a reader takes some turned films for one.

        Costs 22 layouts, which only what is refused pays for.
        """
        sides = (Image.fromarray(film), Image.fromarray(negated(film)))
        turned = (np.asarray(side.rotate(angle, Image.Resampling.BILINEAR)) for side in sides for angle in _ANGLES)
        scores = self.perceptron.scores(np.stack([layout(other) for other in turned]))
        return bool((log_odds(scores) >= self.limits.refer_below).any())


def log_odds(scores: Floats) -> npt.NDArray[np.float64]:
    """Log-odds [n] of a frontal chest film against all other `PICTURES`, from scores [n, 4]."""
    wide = scores.astype(np.float64)
    odds: npt.NDArray[np.float64] = wide[:, 0] - np.logaddexp.reduce(wide[:, 1:], axis=1)
    return odds


def write_gate(folder: Path, gate: Gate, report: GateReport) -> None:
    """Write `gate.npz` and `gate.json`; the same values give the same bytes."""
    write_arrays(folder / GATE_WEIGHTS_FILE, vars(gate.perceptron))
    write_json(folder / GATE_FILE, report)


def read_gate(folder: Path) -> tuple[Gate, GateReport]:
    """Read a gate; raises `ContractError` when a file is missing or malformed, or does not fit the other."""
    report = read_json(folder / GATE_FILE, GateReport)
    path = folder / GATE_WEIGHTS_FILE
    arrays = read_arrays(path, step="cxr fit-gate")
    hidden, classes = report.hidden, len(PICTURES)
    expected: dict[str, tuple[int, ...]] = {
        "hidden_weight": (LENGTH, hidden),
        "hidden_bias": (hidden,),
        "weight": (hidden, classes),
        "bias": (classes,),
    }
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected or report.features != LENGTH or any(a.dtype != np.float32 for a in arrays.values()):
        raise ContractError(
            f"{path} must hold float32 arrays {expected}, has {found}; run `cxr fit-gate` again with this version"
        )
    return Gate(perceptron=Perceptron(**arrays), limits=report.limits), report
