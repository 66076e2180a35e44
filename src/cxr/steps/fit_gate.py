"""Fit gate: what tells an upright frontal chest film from every other picture, before the network sees either."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxr.contracts.bundle import PICTURES, PictureGate
from cxr.contracts.files import new_folder
from cxr.contracts.gate import GateReport, PictureCount
from cxr.contracts.recipe import Preprocessing
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.imaging.corrupt import PRESETS, corrupt
from cxr.imaging.gate import Gate, write_gate
from cxr.imaging.gate.classifier import log_odds
from cxr.imaging.gate.examples import KINDS, strange_pictures, varied_films
from cxr.imaging.gate.layout import LENGTH, layout
from cxr.imaging.preprocess import Film, network_input
from cxr.modeling.checkpoint import read_checkpoint
from cxr.modeling.dataset import load_films
from cxr.modeling.layout_classifier import fit_layout_classifier
from cxr.progress import progress

logger = logging.getLogger(__name__)

REFUSED, REFERRED = 0.005, 0.02
"""Shares of the validation films, clean and with clinical corruptions, that lie under the two limits."""

_FILMS_PER_PICTURE = 8
_FEWEST, _MOST = 20, 400
_VARIED_COPIES = 2

Films = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def fit_gate(*, studies: Path, split: Path, checkpoint: Path, out: Path) -> GateReport:
    """Fit the gate on training films and on pictures made of them, choose its limits on validation films.

    Pictures that are no chest films are drawn or made from the films, never collected, so that any data set is enough.
    The network takes no part: its embeddings of hands and lateral films lie among those of chest films.

    Args:
        studies: images.
        split: index with all three parts; labels are not used.
        checkpoint: whose preprocessing the service will apply.
        out: folder to write `gate.npz` and `gate.json` to.

    Raises:
        ContractError: a folder is missing or malformed.
    """
    model = read_checkpoint(checkpoint)
    index, preprocessing, seed = StudyIndex.read(split), model.recipe.preprocessing, model.recipe.seed
    parts = {part: load_films(studies, index.part(part), preprocessing).films for part in Split}
    training = _layouts(parts[Split.TRAIN], preprocessing, seed=[seed, 0], copies=_VARIED_COPIES)
    classes = np.repeat([_class_of(kind) for kind in training], [len(rows) for rows in training.values()])
    perceptron = fit_layout_classifier(np.concatenate(list(training.values())), classes, seed=seed)
    validation = parts[Split.VALIDATION]
    ordinary = [*validation, *_corrupted(validation, "clinical", preprocessing, seed=[seed, 1])]
    limits = _limits(log_odds(perceptron.scores(np.stack([layout(film) for film in ordinary]))))
    gate = Gate(perceptron=perceptron, limits=limits)
    report = GateReport(
        checkpoint=model.digest,
        index=index.digest,
        features=LENGTH,
        hidden=len(perceptron.hidden_bias),
        training_pictures=len(classes),
        limits=limits,
        test=_counts(gate, _layouts(parts[Split.TEST], preprocessing, seed=[seed, 2], copies=1)),
    )
    with new_folder(out) as folder:
        write_gate(folder, gate, report)
    logger.info("gate fitted", extra={"pictures": len(classes), "refuse_below": limits.refuse_below})
    return report


def _layouts(films: Films, preprocessing: Preprocessing, *, seed: list[int], copies: int) -> dict[str, Floats]:
    """Layouts by kind of the films, of the films made worse, and of pictures that are none."""
    unit = int(np.clip(len(films) // _FILMS_PER_PICTURE, _FEWEST, _MOST))
    total = len(films) * (3 + copies) + unit * sum(kind.share for kind in KINDS.values())
    found = {}
    with progress("pictures for the gate", total) as advance:

        def described(pictures: Iterable[Film]) -> Floats:
            rows = []
            for picture in pictures:
                rows.append(layout(picture))
                advance(1)
            return np.array(rows, np.float32).reshape(len(rows), LENGTH)

        found["film"] = described(films)
        rng = np.random.default_rng([*seed, 1])
        varied = (film for _ in range(copies) for film in varied_films(films, preprocessing, rng=rng))
        found["film, varied"] = described(varied)
        for preset in PRESETS:
            found[f"film, {preset} corruption"] = described(_corrupted(films, preset, preprocessing, seed=seed))
        for number, (name, kind) in enumerate(KINDS.items(), start=2):
            rng = np.random.default_rng([*seed, number])
            found[name] = described(strange_pictures(kind, films, preprocessing, count=unit * kind.share, rng=rng))
    return found


def _class_of(kind: str) -> int:
    return PICTURES.index(KINDS[kind].code) if kind in KINDS else 0


def _corrupted(films: Films, preset: str, preprocessing: Preprocessing, *, seed: list[int]) -> Iterator[Film]:
    """Every film under one corruption of a preset, drawn for the film, and preprocessed again."""
    cells = PRESETS[preset]
    chosen = np.random.default_rng([*seed, len(KINDS) + 2]).integers(len(cells), size=len(films))
    for number, (film, cell) in enumerate(zip(films, chosen, strict=True)):
        grey = corrupt(torch.from_numpy(film)[None, None], *cells[cell], seeds=[number])
        yield network_input((grey[0, 0] * 255).round().to(torch.uint8).numpy(), preprocessing)


def _limits(likeness: npt.NDArray[np.float64]) -> PictureGate:
    refuse, refer = np.quantile(likeness, [REFUSED, REFERRED]).tolist()
    return PictureGate(refuse_below=refuse, refer_below=refer, refused_share=REFUSED, referred_share=REFERRED)


def _counts(gate: Gate, layouts: dict[str, Floats]) -> tuple[PictureCount, ...]:
    counts = []
    for kind, rows in layouts.items():
        likeness = log_odds(gate.perceptron.scores(rows))
        refused = int((likeness < gate.limits.refuse_below).sum())
        referred = int((likeness < gate.limits.refer_below).sum()) - refused
        counts.append(PictureCount(kind=kind, pictures=len(rows), refused=refused, referred=referred))
    return tuple(counts)
